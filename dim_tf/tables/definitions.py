"""The tables as data: their rows, what each row is measured by, and the paper's figures.

Hjelm et al. 2019 (arXiv 1808.06670): tables 1 to 4, the comparison with CPC, and ablations over the
objective's weights and the number of negatives. A row is the settings in which it differs; the rest
comes from the command line. The same settings have the same `key` in every table, so that tables in
one folder share their runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dim_tf.evaluation.report import paper
from dim_tf.evaluation.report.paper import Figures

Settings = Mapping[str, Any]
_MEASURES = {
    "mlp_probe": "mlp",
    "svm": "svm",
    "fine_tuned": "fine_tuning",
    "ms_ssim": "reconstruction",
    "mine": "mine",
    "ndm": "ndm",
    "ndm_sigmoid": "ndm",
}


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        key: names its files and is what --rows lists.
        name: as the paper has it.
        settings: of `Experiment`, in which it differs from the other rows.
        figures: the paper's, by data set; shares in percent, as they are printed there.
        lacks: by data set, why the row cannot be run there.
        has_order: whether its figures are of the same kind as the paper's, so that it has a place
            in the order of the rows.
    """

    key: str
    name: str
    settings: Settings
    figures: Mapping[str, Figures] = field(default_factory=dict)
    lacks: Mapping[str, str] = field(default_factory=dict)
    has_order: bool = True


@dataclass(frozen=True)
class Column:
    """A figure of each row.

    Attributes:
        measure: its name in evaluation.json.
        endpoint: of the encoder.
        title: its heading.
        unit: "share", shown in percent, "nats", or "" for a plain number.
        apart: why the paper's figure does not compare with ours; empty: it does.
    """

    measure: str
    endpoint: str
    title: str
    unit: Literal["share", "nats", ""] = "share"
    apart: str = ""

    @property
    def asked(self) -> str:
        """What --measures calls it."""
        return _MEASURES[self.measure]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: its heading.
        rows: in the order in which they are shown, and run where --rows is empty.
        measures: what --measures calls them; each row's.
        columns: in their order.
        settings: of all rows, by data set; "" for those not named. The command line overrides.
        notes: what a reader has to know.
    """

    title: str
    rows: Sequence[Row]
    measures: tuple[str, ...]
    columns: Sequence[Column]
    settings: Mapping[str, Settings] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def settings_for(self, dataset: str) -> Settings:
        """Of all rows, on that data set."""
        return self.settings.get(dataset, self.settings.get("", {}))


def _dim(estimator: str, alpha: float, beta: float, gamma: float, **others: Any) -> Settings:
    weights = {"alpha": alpha, "beta": beta, "gamma": gamma}
    return {"model": "dim", "estimator": estimator, **weights, "prior": "uniform", **others}


def _figures(name: str) -> dict[str, Figures]:
    return {dataset: found for dataset in paper.EPOCHS if (found := paper.figures(dataset, name))}


def _row(key: str, name: str, settings: Settings) -> Row:
    return Row(key, name, settings, _figures(name))


def _rival(model: str, name: str, **others: Any) -> Row:
    return _row(model, name, {"model": model, **others})


def _local(key: str, name: str, estimator: str, **others: Any) -> Row:
    return _row(key, name, _dim(estimator, 0.0, 1.0, 0.1, **others))


_SUPERVISED = replace(_rival("supervised", paper.SUPERVISED), has_order=False)
_VAE, _AAE, _BIGAN, _NAT = (
    _rival("vae", "VAE"),
    _rival("aae", "AAE", **{"aae.prior": "gaussian"}),
    _rival("bigan", "BiGAN", **{"bigan.prior": "gaussian"}),
    _rival("nat", "NAT"),
)
_DIM_G = _row("dim_g_jsd", "DIM(G)", _dim("jsd", 1.0, 0.0, 1.0))
_DIM_LG = _row("dim_lg_jsd", "DIM(L+G)", _dim("jsd", 0.5, 0.1, 0.1))
_DIM_L_DV = _local("dim_l_dv", "DIM(L) DV*", "dv")
_DIM_L_JSD = _local("dim_l_jsd", "DIM(L) JSD", "jsd")
_DIM_L_INFONCE = _local("dim_l_infonce", "DIM(L) infoNCE", "infonce")
_TODAY = (
    _rival("simclr", "SimCLR, not in the paper"),
    _rival("vicreg", "VICReg, not in the paper"),
)

_PROBE = tuple(
    Column("mlp_probe", endpoint, title)
    for endpoint, title in (("conv", "conv"), ("fc", "fc"), ("global", "Y"))
)
_SECOND_HAND = "* The paper's figure is quoted second-hand, from later work."
_NO_ESTIMATOR = "The paper does not say by which estimator DIM(G) and DIM(L+G) are; here JSD."
_OWN_CLASSIFIER = (
    "Fully supervised: the paper's figure is the accuracy of the network itself; ours are probes "
    "of its features. So it has no place in the order of the rows."
)


def _extended(ms_ssim: float, mine: float, ndm: float, ndm_plain: float | None = None) -> Figures:
    """The columns of the paper's third table that have no counterpart in `paper`."""
    plain = {} if ndm_plain is None else {"ndm": {"global": ndm_plain}}
    return {
        "ms_ssim": {"global": ms_ssim},
        "mine": {"global": mine},
        "ndm_sigmoid": {"global": ndm},
        **plain,
    }


def _with(row: Row, name: str, dataset: str, figures: Figures) -> Row:
    """The row with more of the paper's figures."""
    of_dataset = {**row.figures.get(dataset, {}), **figures}
    return replace(row, name=name, figures={**row.figures, dataset: of_dataset})


_SINGLE_SCALE = "the paper's MS-SSIM is single-scale"
_NO_LIMIT = "the paper's bound has no limit, ours ends at 11.5 nats (docs/EVALUATION.md)"


def _structure(key: str, tasks: str, **settings: Any) -> Row:
    name = f"DIM(L) infoNCE + {tasks}"
    return _local(key, name, "infonce", **settings)


def _probe_figures(conv: float, fc: float, latent: float) -> Figures:
    return {"mlp_probe": {"conv": conv, "fc": fc, "global": latent}}


def _one_figure(value: float) -> Figures:
    return _probe_figures(value, value, value)


def _against_cpc(
    key: str, name: str, settings: Settings, cifar10: float, stl10: float, **beside: Any
) -> Row:
    figures = {"cifar10": _one_figure(cifar10), "stl10": _one_figure(stl10)}
    return Row(key, name, settings, figures, **beside)


_NO_MAP_OF_GLOBALS = (
    "of this version's encoders with a map of globals, none for 32x32 images is like the row's: "
    "crops32x32 is CPC's"
)


def _weights(alpha: float, beta: float, gamma: float) -> Row:
    settings = _dim("jsd", alpha, beta, gamma)
    known = next((r for r in (_DIM_L_JSD, _DIM_LG) if r.settings == settings), None)
    key = known.key if known else f"jsd_alpha{alpha:g}_beta{beta:g}_gamma{gamma:g}"
    return Row(key, f"α {alpha:g}, β {beta:g}, γ {gamma:g}", settings)


def _negatives(row: Row, estimator: str, count: int) -> Row:
    if not count:
        return Row(row.key, f"{estimator}, all other images", row.settings)
    settings = {**row.settings, "negatives": count}
    images = "1 other image" if count == 1 else f"{count} other images"
    return Row(f"{row.key}_negatives{count}", f"{estimator}, {images}", settings)


_NO_FIGURES = "No figures of the paper's stand beside this ablation."
_CPC_32 = {"encoder": "foldresnet19_32x32", "critic_units": 1024}
_CPC_64 = {"encoder": "foldalex64x64", "image_size": 64, "critic_units": 1024}
_ALEX_64 = {"encoder": "alex64x64", "image_size": 64}
_STL10 = {"augment": "crop_flip"}  # random windows and flips, as in flags/stl10.cfg

TABLES: dict[str, Table] = {
    "1": Table(
        "Table 1: MLP probe of each endpoint",
        (
            _SUPERVISED,
            _VAE,
            _rival("ae", "AE*"),
            _rival("beta_vae", "β-VAE*"),
            _AAE,
            _BIGAN,
            _NAT,
            _DIM_G,
            _DIM_L_DV,
            _DIM_L_JSD,
            _DIM_L_INFONCE,
            *_TODAY,
        ),
        ("mlp",),
        _PROBE,
        notes=(_OWN_CLASSIFIER, _SECOND_HAND, _NO_ESTIMATOR),
    ),
    "2": Table(
        "Table 2: MLP probe of each endpoint, and fine-tuning, on larger images",
        (_SUPERVISED, _VAE, _AAE, _BIGAN, _NAT, _DIM_G, _DIM_L_JSD, _DIM_L_INFONCE),
        ("mlp", "fine_tuning"),
        (*_PROBE, Column("fine_tuned", "conv", "fine-tuned")),
        {"": _ALEX_64, "stl10": {**_ALEX_64, **_STL10}},
        (_OWN_CLASSIFIER, _NO_ESTIMATOR),
    ),
    "3": Table(
        "Table 3: SVM, reconstruction, information and dependence",
        (
            _with(_VAE, "VAE", "cifar10", _extended(0.72, 93.02, 1.62)),
            _with(_AAE, "AAE", "cifar10", _extended(0.67, 87.48, 0.03)),
            _with(_BIGAN, "BiGAN", "cifar10", _extended(0.46, 37.69, 24.49)),
            _with(_NAT, "NAT", "cifar10", _extended(0.29, 6.04, 0.02)),
            _with(_DIM_G, "DIM(G)", "cifar10", _extended(0.49, 49.63, 0.35, 9.96)),
            _with(_DIM_LG, "DIM(L+G)", "cifar10", _extended(0.53, 101.65, 0.5, 22.89)),
            _with(_DIM_L_JSD, "DIM(L)", "cifar10", _extended(0.37, 45.09, 0.18, 9.18)),
        ),
        ("svm", "reconstruction", "mine", "ndm"),
        (
            Column("svm", "conv", "SVM conv"),
            Column("svm", "fc", "SVM fc"),
            Column("svm", "global", "SVM Y"),
            Column("ms_ssim", "global", "MS-SSIM", "", _SINGLE_SCALE),
            Column("mine", "global", "MINE", "nats", _NO_LIMIT),
            Column("ndm_sigmoid", "global", "NDM", "nats", _NO_LIMIT),
            Column("ndm", "global", "NDM without sigmoid", "nats", _NO_LIMIT),
        ),
        notes=("The paper does not say by which estimator its DIM rows are; here JSD.",),
    ),
    "4": Table(
        "Table 4: infoNCE with structure tasks",
        (
            _with(
                _with(
                    _DIM_L_INFONCE, "DIM(L) infoNCE", "cifar10", _probe_figures(77.46, 73.33, 70.65)
                ),
                "DIM(L) infoNCE",
                "cifar100",
                _probe_figures(49.90, 47.96, 44.27),
            ),
            _structure(
                "dim_l_infonce_coordinates",
                "coordinates",
                coordinates=1.0,
                relative_coordinates=1.0,
            ),
            _structure("dim_l_infonce_occlusion", "occlusion", occlusion=True),
            _structure(
                "dim_l_infonce_coordinates_occlusion",
                "coordinates + occlusion",
                coordinates=1.0,
                relative_coordinates=1.0,
                occlusion=True,
            ),
        ),
        ("mlp",),
        _PROBE,
        notes=("The weights of both coordinate tasks are 1; the paper does not tell its own.",),
    ),
    "cpc": Table(
        "Comparison with CPC, on strided crops",
        (
            _against_cpc(
                "dim_one_global",
                "DIM(L), one global*",
                _dim("infonce", 0.0, 1.0, 0.1),
                80.95,
                76.97,
            ),
            _against_cpc("cpc", "CPC*", {"model": "cpc", "encoder": ""}, 77.45, 77.81),
            _against_cpc(
                "dim_many_globals",
                "DIM(L), many globals*",
                _dim("infonce", 0.0, 1.0, 0.1, encoder="foldmultialex64x64"),
                77.51,
                78.21,
                lacks=dict.fromkeys(("cifar10", "cifar100"), _NO_MAP_OF_GLOBALS),
            ),
        ),
        ("mlp",),
        _PROBE,
        {
            "cifar10": _CPC_32,
            "cifar100": _CPC_32,
            "": _CPC_64,
            "stl10": {**_CPC_64, **_STL10},
        },
        (
            _SECOND_HAND,
            "Of the paper's one figure a row is known, not its endpoint; it stands beside each.",
        ),
    ),
    "alpha": Table(
        "Ablation over α, the weight of global mutual information",
        [_weights(alpha, 0.1, 0.1) for alpha in (0.0, 0.1, 0.5, 1.0, 2.0)],
        ("mlp",),
        _PROBE,
        notes=(_NO_FIGURES,),
    ),
    "beta": Table(
        "Ablation over β, the weight of local mutual information",
        [_weights(0.5, beta, 0.1) for beta in (0.0, 0.1, 0.5, 1.0, 2.0)],
        ("mlp",),
        _PROBE,
        notes=(_NO_FIGURES,),
    ),
    "gamma": Table(
        "Ablation over γ, the weight of prior matching",
        [_weights(0.0, 1.0, gamma) for gamma in (0.0, 0.01, 0.1, 1.0, 10.0)],
        ("mlp",),
        _PROBE,
        notes=(_NO_FIGURES,),
    ),
    "negatives": Table(
        "Ablation over the number of other images that each is paired with",
        [
            _negatives(row, estimator, count)
            for row, estimator in (
                (_DIM_L_INFONCE, "infoNCE"),
                (_DIM_L_DV, "DV"),
                (_DIM_L_JSD, "JSD"),
            )
            for count in (1, 4, 16, 0)
        ],
        ("mlp",),
        _PROBE,
        notes=(_NO_FIGURES,),
    ),
}
