"""The paper's values for what a run measured (Hjelm et al. 2019, https://arxiv.org/abs/1808.06670).

They are given by data set, objective, measure and endpoint; fractions are in percent, as printed
there. "*" after an objective means that its values are quoted second-hand, from later work that
repeats them. The paper's column MS-SSIM is left out: it is single-scale, so no measure here
compares with it. So are MINE and NDM: the paper's bound has no limit and reaches 101 nats, the one
here at most 11.5 (`dim_tf.evaluation.kl_divergence`).
"""

from dataclasses import dataclass
from typing import Any

PaperValues = dict[str, dict[str, float]]  # measure -> endpoint -> value

EPOCHS = {"cifar10": 1000, "cifar100": 1000, "tiny_imagenet": 200, "stl10": 200}
SUPERVISED = "fully supervised"
SECOND_HAND = "*"

_BASELINES = {
    "vae": "VAE",
    "beta_vae": "β-VAE",
    "ae": "AE",
    "aae": "AAE",
    "bigan": "BiGAN",
    "nat": "NAT",
    "supervised": SUPERVISED,
}
_ESTIMATORS = {"jsd": "JSD", "infonce": "infoNCE", "dv": "DV"}


@dataclass(frozen=True)
class Row:
    """The paper's values of one objective on one data set."""

    objective: str
    values: PaperValues


def rows(experiment: dict[str, Any]) -> list[Row]:
    """The paper's rows for the run's objective and for full supervision, if it has them.

    Args:
        experiment: The run's settings. With a validation split there are no rows, because the
            paper's values are on the test images.
    """
    if experiment.get("validation_fraction"):
        return []
    table = _TABLES.get(experiment.get("dataset", ""), {})
    names = dict.fromkeys([objective(experiment), SUPERVISED])
    return [
        Row(full_name, row_values)
        for name in names
        for full_name, row_values in table.items()
        if name in (full_name, full_name.removesuffix(SECOND_HAND))
    ]


def values(dataset: str, full_name: str) -> PaperValues:
    """The paper's values of a row; empty if it has none.

    Args:
        dataset: Name of a data set.
        full_name: Name of the objective, with `SECOND_HAND` if its values are quoted.
    """
    return _TABLES.get(dataset, {}).get(full_name, {})


def objective(experiment: dict[str, Any]) -> str | None:
    """The paper's name of the run's objective; None if the paper has no such row."""
    model = experiment.get("model", "dim")
    if experiment.get("encoder_path"):
        return None  # an external encoder
    if model != "dim":
        return _BASELINES.get(model)
    if experiment.get("views", 1) != 1:
        return None
    coordinates = experiment.get("coordinates") or experiment.get("relative_coordinates")
    tasks = ["coordinates"] if coordinates else []
    tasks += ["occlusion"] if experiment["occlusion"] else []
    if experiment["alpha"]:
        return None if tasks else "DIM(L+G)" if experiment["beta"] else "DIM(G)"
    estimator = _ESTIMATORS.get(experiment["estimator"])
    if not experiment["beta"] or estimator is None:
        return None
    return " + ".join([f"DIM(L) {estimator}", *tasks])


def _probe(conv: float, fc: float | None = None, latent: float | None = None) -> dict[str, float]:
    accuracies = {"conv": conv, "fc": fc, "global": latent}
    return {endpoint: value for endpoint, value in accuracies.items() if value is not None}


def _mlp(*accuracies: float) -> PaperValues:
    return {"mlp_probe": _probe(*accuracies)}


def _supervised(accuracy: float) -> PaperValues:
    # The paper prints it among the probes of conv, but it is the accuracy of the network itself.
    return {"mlp_probe": _probe(accuracy), "fully_supervised": {"conv": accuracy}}


def _svm(*accuracies: float) -> PaperValues:
    return {"svm": _probe(*accuracies)}


_CIFAR10: dict[str, PaperValues] = {
    SUPERVISED: _supervised(75.39),
    "VAE": _mlp(60.71, 60.54, 54.61) | _svm(53.83, 42.14, 39.59),
    "AE*": _mlp(62.19, 55.78, 54.47),
    "β-VAE*": _mlp(62.4, 57.89, 55.43),
    "AAE": _mlp(59.44, 57.19, 52.81) | _svm(55.22, 43.34, 37.76),
    "BiGAN": _mlp(62.57, 62.74, 52.54) | _svm(56.40, 38.42, 44.90),
    "NAT": _mlp(56.19, 51.29, 31.16) | _svm(48.62, 42.63, 39.59),
    "DIM(G)": _mlp(52.2, 52.84, 43.17) | _svm(46.8, 28.79, 29.08),
    "DIM(L+G)": _svm(57.55, 45.56, 18.63),
    "DIM(L) DV*": _mlp(72.66, 70.60, 64.71),
    "DIM(L) JSD": _mlp(73.25, 73.62, 66.96),
    "DIM(L) infoNCE": _mlp(75.21, 75.57, 69.13),
    "DIM(L) infoNCE + coordinates": _mlp(77.28, 73.89, 71.56),
    "DIM(L) infoNCE + occlusion": _mlp(76.77, 74.45, 72.87),
    "DIM(L) infoNCE + coordinates + occlusion": _mlp(77.27, 75.15, 73.99),
}
# The table of SVMs has one row for DIM(L) and does not say which estimator it used.
for _name in ("DIM(L) DV*", "DIM(L) JSD", "DIM(L) infoNCE"):
    _CIFAR10[_name] |= _svm(63.25, 54.06, 49.62)

_CIFAR100: dict[str, PaperValues] = {
    SUPERVISED: _supervised(42.27),
    "VAE": _mlp(37.21, 34.05, 24.22),
    "AAE": _mlp(36.22, 33.38, 23.25),
    "BiGAN": _mlp(37.59, 33.34, 21.49),
    "NAT": _mlp(29.18, 24.57, 9.72),
    "DIM(G)": _mlp(27.68, 24.35, 19.98),
    "DIM(L) DV*": _mlp(48.52, 44.44, 39.27),
    "DIM(L) JSD": _mlp(48.13, 45.92, 39.60),
    "DIM(L) infoNCE": _mlp(49.74, 47.72, 41.61),
    "DIM(L) infoNCE + coordinates": _mlp(50.27, 48.61, 45.37),
    "DIM(L) infoNCE + occlusion": _mlp(48.87, 47.65, 44.89),
    "DIM(L) infoNCE + coordinates + occlusion": _mlp(48.72, 48.00, 45.96),
}
_TINY_IMAGENET: dict[str, PaperValues] = {
    SUPERVISED: _supervised(36.60),
    "VAE": _mlp(18.63, 16.88, 11.93),
    "AAE": _mlp(18.04, 17.27, 11.49),
    "BiGAN": _mlp(24.38, 20.21, 13.06),
    "NAT": _mlp(13.70, 11.62, 1.20),
    "DIM(G)": _mlp(11.32, 6.34, 4.95),
    "DIM(L) JSD": _mlp(33.54, 36.88, 31.66),
    "DIM(L) infoNCE": _mlp(34.21, 38.09, 33.33),
}


def _stl(conv: float, fc: float, latent: float, tuned: float) -> PaperValues:
    return _mlp(conv, fc, latent) | {"fine_tuned": {"conv": tuned}}


_STL10: dict[str, PaperValues] = {
    SUPERVISED: _supervised(68.7),
    "VAE": _stl(58.27, 56.72, 46.47, 68.65),
    "AAE": _stl(59.54, 54.47, 43.89, 64.15),
    "BiGAN": _stl(71.53, 67.18, 58.48, 74.77),
    "NAT": _stl(64.32, 61.43, 48.84, 70.75),
    "DIM(G)": _stl(42.03, 30.82, 28.09, 51.36),
    "DIM(L) JSD": _stl(72.86, 70.85, 65.93, 76.96),
    "DIM(L) infoNCE": _stl(72.57, 70.00, 67.08, 76.81),
}
_TABLES = {
    "cifar10": _CIFAR10,
    "cifar100": _CIFAR100,
    "tiny_imagenet": _TINY_IMAGENET,
    "stl10": _STL10,
}
