"""Deep InfoMax: an encoder and terms that compare features of one view or of two."""

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
        terms: Terms from `keras_models.terms`.
        views: Makes the context's and the query's images; by default both are the images.
        symmetric: With two views, whether each term is averaged over both directions: query from
            the second view and context from the first, and the reverse, with the same noise. False:
            only the first direction. It has no effect with one view.
        seed: Seed of the random numbers drawn in training.

    Raises:
        ValueError: There is no term, or two have the same name; a term reads an endpoint that the
            encoder lacks; with one view, a term compares two views, or an endpoint with itself;
            symmetric=True with occluded augmentations, which occlude only the query's view.
    """

    def __init__(
        self,
        encoder,
        terms,
        views: Views | None = None,
        *,
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
        names = [term.name for term in self.terms]
        if len(set(names)) < len(names):
            raise ValueError(f"terms are called {', '.join(names)}; give each a name of its own")
        for term in self.terms:
            missing = [name for name in term.endpoints if name not in encoder.endpoint_names]
            if missing:
                raise ValueError(
                    f"the term {term.name} reads the endpoint {missing[0]!r}, and the encoder "
                    f"{encoder.name} has only {', '.join(encoder.endpoint_names)}; take another "
                    "encoder, or leave the term out"
                )
            if self.views.augmentation:
                continue
            if term.compares_views:
                raise ValueError(
                    f"the term {term.name} compares two views, and there is one; give "
                    "views=Views(Augmentation())"
                )
            if len(set(term.endpoints)) < len(term.endpoints) and not self.views.occluded:
                raise ValueError(
                    f"the term {term.name} compares the endpoint {term.endpoints[0]!r} with itself "
                    "in one view; give views=Views(Augmentation())"
                )

    def build_heads(self, shapes):
        for term in self.terms:
            if not term.built:
                term.build(shapes)

    @property
    def adversary_variables(self):
        return [v for term in self.terms for v in term.adversary_variables]

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        """The weighted sum of the terms, computed from features of the images' views."""
        context_images, query_images = self.views(batch.images, random)
        context = self.encoder(context_images, training=training, random=random)
        if query_images is context_images:
            query = context
        else:
            query = self.encoder(query_images, training=training, random=random.fold_in(VIEWS[1]))

        loss, adversary_losses, metrics = tf.constant(0.0), [], {}
        for term in self.terms:
            outputs = [term(query, context, random=random, training=training)]
            if self.symmetric and self.views.augmentation and not term.compares_views:
                outputs.append(term(context, query, random=random, training=training))
            loss += term.weight * _mean([x.encoder_loss for x in outputs])
            if outputs[0].adversary_loss is not None:
                adversary_losses.append(_mean([x.adversary_loss for x in outputs]))
            for name in outputs[0].metrics:
                if name in metrics:
                    raise ValueError(f"two terms have a metric {name}; {term.name} has the second")
                metrics[name] = _mean([x.metrics[name] for x in outputs])
        adversary_loss = tf.add_n(adversary_losses) if adversary_losses else None
        return Losses(loss, adversary_loss, metrics, query["global"])

    def config(self):
        return {"terms": self.terms, "views": self.views, "symmetric": self.symmetric}


def _mean(values):
    return tf.add_n(values) / len(values)
