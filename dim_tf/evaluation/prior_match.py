"""Does the global feature follow the prior? As histograms, and as a discriminator sees it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
from scipy.stats import ks_2samp

from dim_tf.evaluation import bootstrap
from dim_tf.evaluation.fitting import Recipe, minimise
from dim_tf.evaluation.measure import Kind, Result, Uncertainty
from dim_tf.evaluation.pictures import Histogram
from dim_tf.evaluation.representation import Representation
from keras_models import priors
from keras_models.distribute.randomness import StepRandom, derive_seed
from keras_models.nn.discriminators import Discriminator

ENDPOINT = "global"
BINS = 40
SHOWN = 3  # dimensions that fit best, and as many that fit worst


@dataclass(frozen=True)
class PriorMatch:
    """How far the global feature, mapped into the prior's support, is from the prior.

    Accuracy of a discriminator 1000-200-1 that is trained from scratch on the training images and
    samples of the prior: 0.5 where they cannot be told apart. And the mean over the dimensions of
    the Kolmogorov-Smirnov distance of feature and prior: 0 where each dimension by itself follows
    it. Only "global" is measured.

    Attributes:
        representation: what is measured.
        prior: one of `keras_models.priors.NAMES`.
        steps: of the discriminator's training.
        batch: features in a step; less where there are fewer images.
        learning_rate: at the first step.
        seed: of the discriminator and the prior's samples.
    """

    representation: Representation
    prior: str
    steps: int = 600
    batch: int = 512
    learning_rate: float = 1e-3
    seed: int = 0
    _pictures: list[Histogram] = field(default_factory=list, init=False, compare=False)

    @property
    def kinds(self) -> dict[str, Kind]:
        return {
            "prior_discriminator": Kind("share", "lower", "told from the prior (50 %: matched)"),
            "prior_distance": Kind("", "lower", "distance of the dimensions from the prior"),
        }

    @property
    def protocol(self) -> dict[str, str]:
        return {
            "prior_discriminator": (
                "accuracy of a new discriminator 1000-200-1 between the global feature in the "
                f"support of the {self.prior} prior and samples of the prior, trained on the "
                f"training images and as many samples, {self._recipe()}; measured on the test "
                "images and as many samples; 0.5: cannot be told apart"
            ),
            "prior_distance": (
                "mean over the dimensions of the Kolmogorov-Smirnov distance of the test images' "
                f"feature and as many samples of the {self.prior} prior"
            ),
        }

    def run(self) -> Iterator[Result]:
        self._pictures.clear()
        train, test = self.representation.train[ENDPOINT], self.representation.test[ENDPOINT]
        prior = priors.get(self.prior, test.shape[1])
        features = prior.to_support(tf.constant(test)).numpy()
        random = StepRandom(derive_seed(self.seed, "held out prior"), tf.constant(0))
        samples = prior.sample(random.uniform("prior", len(test), test.shape[1:])).numpy()

        discriminator = self._trained(prior, prior.to_support(tf.constant(train)))
        found = [np.asarray(discriminator(x)) for x in (samples, features)]
        hits = np.stack([found[0] > 0, found[1] <= 0], axis=1).mean(axis=1)
        uncertainty = Uncertainty(None, 1, bootstrap.of_mean(hits))
        yield Result("prior_discriminator", ENDPOINT, float(np.mean(hits)), uncertainty)

        distances = [
            float(ks_2samp(ours, theirs).statistic)
            for ours, theirs in zip(features.T, samples.T, strict=True)
        ]
        yield Result("prior_distance", ENDPOINT, float(np.mean(distances)))
        self._pictures.extend(self._histograms(features, samples, np.array(distances)))

    def pictures(self) -> list[Histogram]:
        return list(self._pictures)

    def _histograms(self, features, samples, distances):
        edges = np.histogram_bin_edges(np.concatenate([samples.ravel(), features.ravel()]), BINS)

        def picture(title, ours, theirs):
            series = {"feature": ours, f"{self.prior} prior": theirs}
            densities = {n: np.histogram(x, edges, density=True)[0] for n, x in series.items()}
            return Histogram(
                f"{ENDPOINT} feature in the prior's support, {title}", edges, densities
            )

        yield picture("all dimensions", features.ravel(), samples.ravel())
        order = np.argsort(distances, kind="stable")
        shown = order if len(order) <= 2 * SHOWN else np.r_[order[:SHOWN], order[-SHOWN:]]
        for dimension in shown:
            title = f"dimension {dimension}, distance {distances[dimension]:.2f}"
            yield picture(title, features[:, dimension], samples[:, dimension])

    def _trained(self, prior, features) -> Discriminator:
        recipe = self._recipe()
        recipe.seed_weights("prior match")
        discriminator = Discriminator()
        discriminator.build(features.shape)

        def loss(random):
            rows = tf.gather(features, random.choice("rows", len(features), recipe.batch))
            samples = prior.sample(random.uniform("prior", recipe.batch, rows.shape[1:]))
            of_prior, of_features = discriminator(samples), discriminator(rows)
            return tf.reduce_mean(tf.nn.softplus(-of_prior) + tf.nn.softplus(of_features))

        minimise(discriminator.trainable_variables, loss, recipe)
        return discriminator

    def _recipe(self):
        batch = min(self.batch, len(self.representation.splits.train))
        return Recipe(self.steps, batch, self.learning_rate, self.seed)
