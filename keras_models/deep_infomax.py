"""Deep InfoMax: an encoder and the terms that hold features of one view or two together."""

import keras
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.encoder_model import EncoderModel
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses
from keras_models.views import VIEWS, Views


@keras.saving.register_keras_serializable(layers.PACKAGE)
class DeepInfoMax(EncoderModel):
    """An encoder trained by a weighted sum of terms (Hjelm et al. 2019, eq. 8).

    >>> from keras_models import encoders, terms
    >>> encoder = encoders.get("basic32x32")
    >>> model = DeepInfoMax(encoder, [terms.local_mutual_information("dot", "infonce", units=64)])
    >>> model.compile(learning_rate=1e-4)
    >>> model.build()
    >>> sorted(model.train_step(tf.zeros([4, 32, 32, 3])))
    ['local_joint_score', 'local_mi', 'local_product_score', 'loss']

    With two views, the query of one view meets the context of the other: Bachman et al. 2019
    (AMDIM, https://arxiv.org/abs/1906.00910). SimCLR, VICReg and Barlow Twins are other terms.

    Args:
        encoder: Images -> endpoints.
        terms: Of `keras_models.terms`.
        views: Makes the context's and the query's images; by default both are the images.
        symmetric: Whether, with two views, each term is the mean of both ways round: the query of
            either view with the context of the other. Without, the first view gives the context
            and the second the query.
        seed: Seed of the random numbers drawn in training.

    Raises:
        ValueError: No term; a term that reads an endpoint that the encoder lacks, or compares two
            views where there is one; both `symmetric` and occluded views, where a query's block
            would be missing in the context.
    """

    def __init__(
        self,
        encoder,
        terms,
        views: Views | None = None,
        symmetric: bool = True,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(encoder, seed, **kwargs)
        self.terms = list(terms)
        self.views = views or Views()
        self.symmetric = symmetric
        if not self.terms:
            raise ValueError("Deep InfoMax has no term to learn by; give one of keras_models.terms")
        if symmetric and self.views.augmentation and self.views.occluded:
            raise ValueError(
                "occluded views are not exchangeable; give symmetric=False or occluded=False"
            )
        for term in self.terms:
            missing = [name for name in term.endpoints if name not in encoder.endpoint_names]
            if missing:
                raise ValueError(
                    f"the term {term.name} reads the endpoint {missing[0]!r}, and the encoder "
                    f"{encoder.name} has {', '.join(encoder.endpoint_names)} alone"
                )
            if term.compares_views and not self.views.augmentation:
                raise ValueError(
                    f"the term {term.name} compares two views, and there is one; give "
                    "views=Views(Augmentation())"
                )

    def build_heads(self, shapes):
        for term in self.terms:
            if not term.built:
                term.build(shapes)

    @property
    def adversary_variables(self):
        return [v for term in self.terms for v in term.adversary_variables]

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        """The weighted sum of the terms, of features taken from the views of the images."""
        context_images, query_images = self.views(batch.images, random)
        context = self.encoder(context_images, training=training, random=random)
        if query_images is context_images:
            query = context
        else:
            query = self.encoder(query_images, training=training, random=random.another(VIEWS[1]))

        loss, adversary_losses, metrics = tf.constant(0.0), [], {}
        for term in self.terms:
            outputs = [term(query, context, random=random, training=training)]
            if self.symmetric and self.views.augmentation and not term.compares_views:
                outputs.append(term(context, query, random=random, training=training))
            loss += term.weight * _mean([x.encoder_loss for x in outputs])
            if outputs[0].adversary_loss is not None:
                adversary_losses.append(_mean([x.adversary_loss for x in outputs]))
            for name in outputs[0].metrics:
                metrics[name] = _mean([x.metrics[name] for x in outputs])
        adversary_loss = tf.add_n(adversary_losses) if adversary_losses else None
        return Losses(loss, adversary_loss, metrics, query["global"])

    def config(self):
        return {"terms": self.terms, "views": self.views, "symmetric": self.symmetric}


def _mean(values):
    return tf.add_n(values) / len(values)
