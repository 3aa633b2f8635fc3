"""Deep InfoMax (Hjelm et al. 2019, https://arxiv.org/abs/1808.06670), of one view or two."""

from dataclasses import dataclass
from typing import Any

from dim_tf.models.adversarial import WithPriorDivergence
from dim_tf.models.base import AugmentedViews
from dim_tf.registry import ENDPOINTS, ESTIMATORS
from dim_tf.settings.config_field import config_field
from dim_tf.system.errors import InputError

PAIRS = ("global-local",)  # where --pairs is not given


@dataclass(frozen=True)
class DIM(AugmentedViews, WithPriorDivergence):
    """Mutual information of features, and features matched with a prior.

    Its flags have no prefix: it is the model that this program is about.
    """

    NAME = "dim"
    PREFIX = ""
    LEARNED = "from unlabelled images by Deep InfoMax (Hjelm et al. 2019)"

    estimator: str = config_field(
        "jsd",
        "Estimator of mutual information; kl means nwj.",
        common=True,
        choices=(*ESTIMATORS, "kl"),
    )
    alpha: float = config_field(0.0, "Weight of global mutual information.", minimum=0)
    beta: float = config_field(1.0, "Weight of local mutual information.", minimum=0)
    gamma: float = config_field(0.1, "Weight of prior matching; 0: none.", common=True, minimum=0)
    views: int = config_field(
        1,
        "Views of each image: 1, the image; 2, two augmentations, one for the query and one for "
        "the context.",
        choices=(1, 2),
    )
    pairs: str = config_field(
        "",
        "Pairs QUERY-CONTEXT of endpoints (local, conv, fc, global) whose mutual information is "
        "maximized, with commas between, each of weight --beta; empty: "
        f"{','.join(PAIRS)}.",
    )
    symmetric: bool = config_field(
        True,
        "With two views, average over both directions: query of one view, context of the other.",
    )
    local_critic: str = config_field("dot", "Critic of --pairs.", choices=("dot", "concat"))
    global_critic: str = config_field(
        "conv",
        "Critic of the global feature and the whole local map, for --alpha.",
        choices=("conv", "dense", "dot"),
    )
    critic_units: int = config_field(
        2048, "Units of the dot-product critic.", minimum=1, maximum=2**16
    )
    critic_layer_norm: bool = config_field(True, "Layer norm in the dot-product critic.")
    critic_temperature: float = config_field(
        0.0,
        "Temperature of the dot-product critic: scores are cosines of codes divided by it; 0: a "
        "learned scale.",
        minimum=0,
    )
    critic_implementation: str = config_field(
        "fast",
        "Dot-product critic: fast; or reference, the paper's layers one by one, with the same "
        "numbers.",
        choices=("fast", "reference"),
        hyperparameter=False,
    )
    negatives: int = config_field(
        0,
        "Number of other images that each image is paired with; 0: the critic's default, all for "
        "dot, 1 for the others.",
        minimum=0,
    )
    locations: int = config_field(
        0, "Locations of the local map scored in a step, drawn at random; 0: all.", minimum=0
    )
    score_chunk: int = config_field(
        0,
        "Number of images whose global codes the dot-product critic scores at a time; 0: as many "
        "as fit 64 MiB.",
        minimum=0,
        hyperparameter=False,
    )
    prior_matching_method: str = config_field(
        "adversarial",
        "How the global feature is matched with the prior: adversarial, by a discriminator; mmd, "
        "by the maximum mean discrepancy.",
        flag="prior_matching",
        choices=("adversarial", "mmd"),
    )
    independence: str = config_field(
        "none",
        "How the numbers of the global feature are made independent: predictability, by predictors "
        "of each from the others; adversarial, by a discriminator of shuffled numbers; none.",
        choices=("none", "predictability", "adversarial"),
    )
    independence_weight: float = config_field(
        0.1, "Weight of --independence in the objective.", above=0
    )
    coordinates: float = config_field(
        0.0, "Weight of the task of predicting a local feature's row and column.", minimum=0
    )
    relative_coordinates: float = config_field(
        0.0, "Weight of the task of predicting the offset of two local features.", minimum=0
    )
    occlusion: bool = config_field(
        False, "Compute the global feature from the image with a random block occluded."
    )

    def check(self):
        """Checks that something is learned, and that pairs, views and critics fit together."""
        super().check()
        weights = ("alpha", "beta", "coordinates", "relative_coordinates")
        if not any(getattr(self, weight) for weight in weights):
            raise InputError(
                "nothing to learn: --" + ", --".join(weights) + " are all 0; give one a weight"
            )
        self._check_critics()
        self._check_pairs()
        if self.views == 2 and self.occlusion and self.symmetric:
            raise InputError(
                "--occlusion with --views=2 needs --nosymmetric: an occluded view gives the query "
                "alone"
            )

    def _check_critics(self):
        if self.critic_temperature and "dot" not in self._critics:
            raise InputError(
                "--critic_temperature takes effect with the dot-product critic only, and no "
                "weighted term has it; take --local_critic=dot or --global_critic=dot, or leave it "
                "out"
            )
        if self.critic_temperature and not self.critic_layer_norm:
            raise InputError(
                "--critic_temperature takes effect on codes with layer norm only; leave it or "
                "--nocritic_layer_norm out"
            )
        if self.score_chunk and self.critic_implementation == "reference":
            raise InputError(
                "--score_chunk is for --critic_implementation=fast; leave one of the two out"
            )

    def _check_pairs(self):
        names = self._pair_names
        allowed = {f"{query}-{context}" for query in ENDPOINTS for context in ENDPOINTS}
        if not set(names) <= allowed or len(set(names)) < len(names):
            raise InputError(
                f"--pairs={self.pairs}; expected pairs QUERY-CONTEXT, none twice, with commas "
                f"between, each of {', '.join(ENDPOINTS)}"
            )
        of_itself = [pair for pair in names if len(set(pair.split("-"))) == 1]
        if of_itself and self.views == 1 and not self.occlusion:
            raise InputError(
                f"--pairs={of_itself[0]} compares a view with itself; give --views=2, or other "
                "pairs"
            )
        if self.pairs and not self.beta:
            raise InputError("--pairs has the weight --beta, which is 0; leave one of the two out")

    @property
    def has_two_views(self):
        """Whether --views is 2."""
        return self.views == 2

    @property
    def _pair_names(self) -> tuple[str, ...]:
        if not self.beta:
            return ()
        return tuple(pair.strip() for pair in self.pairs.split(",")) if self.pairs else PAIRS

    @property
    def _critics(self) -> set[str]:
        """The kinds of critics in the terms that have a weight."""
        weights = ((self.local_critic, self.beta), (self.global_critic, self.alpha))
        return {critic for critic, weight in weights if weight}

    @property
    def matched_prior(self):
        """The prior, if prior matching has a weight."""
        return self.prior if self.gamma else ""

    def check_batch(self, images):
        """Checks that there are as many negatives as asked for."""
        if self.negatives > images:
            raise InputError(
                f"--negatives={self.negatives}: a step has {images} other images to compare with; "
                "give fewer, or a larger --batch_size"
            )

    @property
    def without_effect(self):
        """Settings that are given but have no effect because of others."""
        no_dot = "no weighted term has the dot-product critic"
        idle = {  # why -> whether so, and the settings
            "--beta is 0": (not self.beta, ["local_critic"]),
            "--alpha is 0": (not self.alpha, ["global_critic"]),
            "no term has a critic": (not self._critics, ["estimator", "negatives"]),
            no_dot: (
                "dot" not in self._critics,
                ["critic_units", "critic_layer_norm", "critic_implementation", "score_chunk"],
            ),
            "no pair has the context local": (
                not any(pair.endswith("-local") for pair in self._pair_names),
                ["locations"],
            ),
            "--views is 1": (
                self.views == 1,
                ["symmetric", "min_crop_scale", "color_jitter_strength"],
            ),
            "--gamma is 0": (
                not self.gamma,
                ["prior", "prior_matching", "prior_divergence", "prior_penalty"],
            ),
            "--prior_matching=mmd has no discriminator": (
                self.gamma and self.prior_matching_method == "mmd",
                ["prior_divergence", "prior_penalty"],
            ),
            "--independence is none": (self.independence == "none", ["independence_weight"]),
        }
        values, fields = self.values(), self.flags()
        return {
            name: why
            for why, (is_idle, names) in idle.items()
            for name in names
            if is_idle and values[name] != fields[name].default
        }

    @property
    def summary(self):
        """The estimator, the weights that are not 0, and what else changes the objective."""
        weights = ("alpha", "beta", "gamma", "coordinates", "relative_coordinates")
        parts = [
            f"{name} {getattr(self, name):g}"
            for name in (*weights, "critic_temperature")
            if getattr(self, name)
        ]
        parts += [f"pairs {self.pairs}"] * bool(self.pairs)
        parts += ["matched by mmd"] * (self.gamma > 0 and self.prior_matching_method == "mmd")
        if self.independence != "none":
            parts.append(f"independence by {self.independence} {self.independence_weight:g}")
        parts += ["occlusion"] * self.occlusion
        if self.views == 2:
            parts.append("two views" if self.symmetric else "two views, one way round")
        return f"estimator {self.estimator}; " + ", ".join(parts)

    def make(self, encoder, splits, experiment):
        """Deep InfoMax with those of its terms that have a weight."""
        from keras_models import DeepInfoMax
        from keras_models.views import Views

        if self.views == 2:
            views = self.two_views(experiment.augmentation, self.occlusion, shared_flip=True)
        else:
            views = Views(occluded=self.occlusion)
        return DeepInfoMax(
            encoder,
            self._terms(encoder),
            views,
            symmetric=self.views == 1 or self.symmetric,
            seed=experiment.training.seed,
            name="deep_infomax",
        )

    def _terms(self, encoder) -> list:
        from keras_models import priors, terms

        objective: list = [
            terms.local_mutual_information(
                self.local_critic,
                self.estimator,
                self.beta,
                query=query,
                context=context,
                locations=self.locations if context == "local" else 0,
                **self._critic_arguments(self.local_critic, encoder),
            )
            for query, context in (pair.split("-") for pair in self._pair_names)
        ]
        if self.alpha:
            arguments = self._critic_arguments(self.global_critic, encoder)
            objective.append(
                terms.global_mutual_information(
                    self.global_critic, self.estimator, self.alpha, **arguments
                )
            )
        if self.gamma and self.prior_matching_method == "mmd":
            prior = priors.get(self.prior, encoder.global_dim)
            objective.append(terms.MaximumMeanDiscrepancy(prior, weight=self.gamma))
        elif self.gamma:
            objective.append(self.prior_matching(encoder, self.gamma))
        if self.independence == "predictability":
            objective.append(terms.PredictabilityMinimization(weight=self.independence_weight))
        elif self.independence == "adversarial":
            objective.append(terms.adversarial_independence(self.independence_weight))
        return objective + terms.coordinate_tasks(self.coordinates, self.relative_coordinates)

    def _critic_arguments(self, critic: str, encoder) -> dict[str, Any]:
        arguments: dict[str, Any] = {"negatives": self.negatives}
        if critic != "dot":
            return arguments
        arguments |= {
            "implementation": self.critic_implementation,
            "units": self.critic_units,
            "layer_norm": self.critic_layer_norm,
            "temperature": self.critic_temperature,
            "synchronized": encoder.synchronized,
        }
        if self.score_chunk:
            arguments["chunk"] = self.score_chunk
        return arguments
