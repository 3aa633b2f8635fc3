"""How well the global feature follows the prior: by a discriminator, and as histograms."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
from scipy.stats import ks_2samp

from dim_tf.evaluation import bootstrap
from dim_tf.evaluation.figures import Histogram
from dim_tf.evaluation.fitting import MeasureTraining, minimise
from dim_tf.evaluation.measure import MetricInfo, Result, Uncertainty
from dim_tf.evaluation.measure_spec import MeasureContext, MeasureSpec
from dim_tf.evaluation.representation import Representation
from keras_models import priors
from keras_models.distribute.randomness import StepRandom, derive_seed
from keras_models.nn.discriminators import Discriminator

ENDPOINT = "global"
BINS = 40
NUM_SHOWN = 3  # dimensions that fit best, and as many that fit worst


@dataclass(frozen=True)
class PriorMatch:
    """The distance of the global feature, mapped into the prior's support, from the prior.

    The first metric is the accuracy of a discriminator 1000-200-1 that is trained from scratch on
    the training images and samples of the prior: 0.5 if it cannot tell them apart. The second is
    the mean over the dimensions of the Kolmogorov-Smirnov distance between feature and prior: 0 if
    each single dimension follows the prior. Only "global" is measured.

    Attributes:
        representation: The representation that is measured.
        prior: One of `keras_models.priors.NAMES`.
        steps: Steps of the discriminator's training.
        batch_size: Features per step, or all features if there are fewer.
        learning_rate: Learning rate at the first step.
        seed: Seed of the discriminator and of the prior's samples.
    """

    representation: Representation
    prior: str
    steps: int = 600
    batch_size: int = 512
    learning_rate: float = 1e-3
    seed: int = 0
    _figures: list[Histogram] = field(default_factory=list, init=False, compare=False)

    @property
    def metrics(self) -> dict[str, MetricInfo]:
        return {
            "prior_discriminator": MetricInfo(
                "fraction", "lower", "distinguished from the prior (50 %: matched)"
            ),
            "prior_distance": MetricInfo("", "lower", "distance of the dimensions from the prior"),
        }

    @property
    def protocol(self) -> dict[str, str]:
        return {
            "prior_discriminator": (
                "accuracy of a new discriminator 1000-200-1 between the global feature in the "
                f"support of the {self.prior} prior and samples of the prior, trained on the "
                f"training images and as many samples, {self._training()}; measured on the test "
                "images and as many samples; 0.5: cannot be told apart"
            ),
            "prior_distance": (
                "mean over the dimensions of the Kolmogorov-Smirnov distance of the test images' "
                f"feature and as many samples of the {self.prior} prior"
            ),
        }

    def run(self) -> Iterator[Result]:
        self._figures.clear()
        train, test = self.representation.train[ENDPOINT], self.representation.test[ENDPOINT]
        prior = priors.get(self.prior, test.shape[1])
        features = prior.to_support(tf.constant(test)).numpy()
        random = StepRandom(derive_seed(self.seed, "held out prior"), tf.constant(0))
        samples = prior.sample(random.uniform("prior", len(test), test.shape[1:])).numpy()

        discriminator = self._fit_discriminator(prior, prior.to_support(tf.constant(train)))
        scores = [np.asarray(discriminator(x)) for x in (samples, features)]
        accuracies = np.stack([scores[0] > 0, scores[1] <= 0], axis=1).mean(axis=1)
        groups = self.representation.data.test.groups
        uncertainty = Uncertainty(None, 1, bootstrap.mean_interval(accuracies, groups))
        yield Result("prior_discriminator", ENDPOINT, float(np.mean(accuracies)), uncertainty)

        distances = [
            float(ks_2samp(of_feature, of_prior).statistic)
            for of_feature, of_prior in zip(features.T, samples.T, strict=True)
        ]
        yield Result("prior_distance", ENDPOINT, float(np.mean(distances)))
        self._figures.extend(self._histograms(features, samples, np.array(distances)))

    def figures(self) -> list[Histogram]:
        return list(self._figures)

    def _histograms(self, features, samples, distances):
        edges = np.histogram_bin_edges(np.concatenate([samples.ravel(), features.ravel()]), BINS)

        def histogram(title, of_feature, of_prior):
            series = {"feature": of_feature, f"{self.prior} prior": of_prior}
            densities = {n: np.histogram(x, edges, density=True)[0] for n, x in series.items()}
            return Histogram(
                f"{ENDPOINT} feature in the prior's support, {title}", edges, densities
            )

        yield histogram("all dimensions", features.ravel(), samples.ravel())
        order = np.argsort(distances, kind="stable")
        shown = order
        if len(order) > 2 * NUM_SHOWN:
            shown = np.r_[order[:NUM_SHOWN], order[-NUM_SHOWN:]]
        for dimension in shown:
            title = f"dimension {dimension}, distance {distances[dimension]:.2f}"
            yield histogram(title, features[:, dimension], samples[:, dimension])

    def _fit_discriminator(self, prior, features) -> Discriminator:
        training = self._training()
        training.seed_weights("prior match")
        discriminator = Discriminator()
        discriminator.build(features.shape)

        def loss(random):
            batch = tf.gather(features, random.choice("rows", len(features), training.batch_size))
            samples = prior.sample(random.uniform("prior", training.batch_size, batch.shape[1:]))
            prior_scores, feature_scores = discriminator(samples), discriminator(batch)
            return tf.reduce_mean(tf.nn.softplus(-prior_scores) + tf.nn.softplus(feature_scores))

        minimise(discriminator.trainable_variables, loss, training)
        return discriminator

    def _training(self):
        batch_size = min(self.batch_size, len(self.representation.data.train))
        return MeasureTraining(self.steps, batch_size, self.learning_rate, self.seed)


def _needs_matched_vector(context: MeasureContext) -> str:
    """One global feature per image, matched with the prior in training, is required."""
    if context.encoders is None or not context.experiment.model.matched_prior:
        return (
            "needs an encoder that prior matching trained: that of a run of --model=aae, or of "
            "--model=dim with --gamma"
        )
    if context.representation.test[ENDPOINT].shape[1] != context.encoders.trained.global_dim:
        return (
            "needs one global feature an image; this encoder has a map of them, each of which "
            "prior matching takes as a sample"
        )
    return ""


SPEC = MeasureSpec(
    lambda context: PriorMatch(context.representation, context.experiment.model.matched_prior),
    requires=(_needs_matched_vector,),
)
