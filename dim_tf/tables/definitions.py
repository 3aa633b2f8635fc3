"""The tables as data: their rows, columns and measures, and the paper's values.

Hjelm et al. 2019 (arXiv 1808.06670): tables 1 to 4, the comparison with CPC, ablations over the
objective's weights and the number of negatives, and every method that it cites and that we have. A
row has the settings in which it differs from the others; the rest comes from the command line. The
same settings have the same `key` in every table, so that tables in one folder share their runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dim_tf.evaluation.report import paper
from dim_tf.evaluation.report.paper import PaperValues

Settings = Mapping[str, Any]
_MEASURES = {
    "mlp_probe": "mlp",
    "knn": "knn",
    "svm": "svm",
    "fine_tuned": "fine_tuning",
    "ms_ssim": "reconstruction",
    "mine": "mine",
    "ndm": "ndm",
    "ndm_sigmoid": "ndm",
}


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        key: Name in --rows and in file names.
        name: Name in the paper.
        settings: Settings of `Experiment` in which it differs from the other rows.
        paper: The paper's values, by data set; fractions in percent, as printed there.
        unavailable: Why the row cannot be run, by data set.
        is_ranked: Whether its metrics are of the same kind as the paper's, so that the row counts
            in the comparison of rankings.
    """

    key: str
    name: str
    settings: Settings
    paper: Mapping[str, PaperValues] = field(default_factory=dict)
    unavailable: Mapping[str, str] = field(default_factory=dict)
    is_ranked: bool = True


@dataclass(frozen=True)
class Column:
    """A metric of each row.

    Attributes:
        metric: Name in evaluation.json.
        endpoint: Endpoint of the encoder.
        title: Heading.
        unit: "fraction", shown in percent, "nats", or "" for a plain number.
        not_comparable: Why the paper's values do not compare with ours; empty if they do.
        datasets: Data sets that have it; empty: all.
    """

    metric: str
    endpoint: str
    title: str
    unit: Literal["fraction", "nats", ""] = "fraction"
    not_comparable: str = ""
    datasets: tuple[str, ...] = ()

    @property
    def measure(self) -> str:
        """The name in --measures of the measure that computes the metric."""
        return _MEASURES[self.metric]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: Heading.
        rows: Rows in the order in which they are shown, and run if --rows is empty.
        columns: Columns, in order.
        settings: Settings of all rows, by data set; "" for other data sets. The command line
            overrides them.
        notes: What a reader needs to know.
    """

    title: str
    rows: Sequence[Row]
    columns: Sequence[Column]
    settings: Mapping[str, Settings] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def settings_for(self, dataset: str) -> Settings:
        """The settings that all rows share on a data set."""
        return self.settings.get(dataset, self.settings.get("", {}))

    def columns_for(self, dataset: str) -> list[Column]:
        """The columns of a data set."""
        return [c for c in self.columns if not c.datasets or dataset in c.datasets]

    def measures_for(self, dataset: str) -> tuple[str, ...]:
        """The names in --measures that compute the columns of a data set, each only once."""
        return tuple(dict.fromkeys(column.measure for column in self.columns_for(dataset)))


def _dim(estimator: str, alpha: float, beta: float, gamma: float, **settings: Any) -> Settings:
    weights = {"alpha": alpha, "beta": beta, "gamma": gamma}
    return {"model": "dim", "estimator": estimator, **weights, "prior": "uniform", **settings}


def _paper_row(key: str, name: str, settings: Settings) -> Row:
    """A row with the paper's values, found by its name in the paper."""
    values = {dataset: paper.values(dataset, name) for dataset in paper.EPOCHS}
    return Row(key, name, settings, {dataset: v for dataset, v in values.items() if v})


def _baseline(model: str, name: str, **settings: Any) -> Row:
    return _paper_row(model, name, {"model": model, **settings})


def _prior_or_independence(key: str, words: str, **settings: Any) -> Row:
    """DIM(G) by JSD, with the feature shaped in another way."""
    shaped = dict(_dim("jsd", 1.0, 0.0, 1.0)) | settings
    return Row(f"dim_g_{key}", f"DIM(G), {words}", shaped)


def _local_dim(key: str, name: str, estimator: str, **settings: Any) -> Row:
    return _paper_row(key, name, _dim(estimator, 0.0, 1.0, 0.1, **settings))


_SUPERVISED = replace(_baseline("supervised", paper.SUPERVISED), is_ranked=False)
_VAE, _AAE, _BIGAN, _NAT = (
    _baseline("vae", "VAE"),
    _baseline("aae", "AAE", **{"aae.prior": "gaussian"}),
    # The committed row was trained with this penalty and an earlier discriminator, which had no
    # layers of the code's own; the command now trains another network (docs/RESULTS.md has both).
    _baseline("bigan", "BiGAN", **{"bigan.prior": "gaussian", "bigan.prior_penalty": 1.0}),
    _baseline("nat", "NAT"),
)
_DIM_G = _paper_row("dim_g_jsd", "DIM(G)", _dim("jsd", 1.0, 0.0, 1.0))
_DIM_LG = _paper_row("dim_lg_jsd", "DIM(L+G)", _dim("jsd", 0.5, 0.1, 0.1))
_DIM_L_DV = _local_dim("dim_l_dv", "DIM(L) DV*", "dv")
_DIM_L_JSD = _local_dim("dim_l_jsd", "DIM(L) JSD", "jsd")
_DIM_L_INFONCE = _local_dim("dim_l_infonce", "DIM(L) infoNCE", "infonce")
_AE, _BETA_VAE = _baseline("ae", "AE*"), _baseline("beta_vae", "β-VAE*")
_COMPARED = (_VAE, _AE, _BETA_VAE, _AAE, _BIGAN, _NAT)  # in the paper, or by what repeats it
_SIMCLR, _VICREG = _baseline("simclr", "SimCLR"), _baseline("vicreg", "VICReg")
# As flags/two_views_cifar10.cfg.
_TWO_VIEWS = Row(
    "two_views",
    "DIM of two views, infoNCE",
    {
        "model": "dim",
        "estimator": "infonce",
        "gamma": 0.0,
        "views": 2,
        "pairs": "global-local,global-conv,conv-conv",
    },
)

_ENDPOINTS = {"conv": "conv", "fc": "fc", "global": "Y"}
_PROBE = tuple(Column("mlp_probe", endpoint, title) for endpoint, title in _ENDPOINTS.items())
_KNN = tuple(Column("knn", endpoint, f"kNN {title}") for endpoint, title in _ENDPOINTS.items())
_SECOND_HAND = "* The paper's value is quoted second-hand, from later work."
_NO_ESTIMATOR = "The paper does not name the estimator of DIM(G) and DIM(L+G); these rows use JSD."
_NETWORK_ACCURACY = (
    "Fully supervised: the paper's value is the accuracy of the network itself, ours are probes of "
    "its features. The row is excluded from the ranking."
)


def _table3_values(
    ms_ssim: float, mine: float, ndm: float, ndm_plain: float | None = None
) -> PaperValues:
    """Columns of the paper's Table 3 that `paper` does not have."""
    plain = {} if ndm_plain is None else {"ndm": {"global": ndm_plain}}
    return {
        "ms_ssim": {"global": ms_ssim},
        "mine": {"global": mine},
        "ndm_sigmoid": {"global": ndm},
        **plain,
    }


def _with_paper(row: Row, name: str, dataset: str, values: PaperValues) -> Row:
    """The row under another name, with more of the paper's values."""
    of_dataset = {**row.paper.get(dataset, {}), **values}
    return replace(row, name=name, paper={**row.paper, dataset: of_dataset})


_SINGLE_SCALE = "the paper's MS-SSIM is single-scale"
_UNBOUNDED = "the paper's bound has no limit, ours is at most 11.5 nats (docs/EVALUATION.md)"


def _with_tasks(key: str, tasks: str, **settings: Any) -> Row:
    name = f"DIM(L) infoNCE + {tasks}"
    return _local_dim(key, name, "infonce", **settings)


def _probe_values(conv: float, fc: float, latent: float) -> PaperValues:
    return {"mlp_probe": {"conv": conv, "fc": fc, "global": latent}}


def _cpc_row(
    key: str,
    name: str,
    settings: Settings,
    cifar10: float,
    stl10: float,
    unavailable: Mapping[str, str] | None = None,
) -> Row:
    values = {"cifar10": cifar10, "stl10": stl10}
    paper_values = {dataset: _probe_values(v, v, v) for dataset, v in values.items()}
    return Row(key, name, settings, paper_values, unavailable or {})


_CPC = _cpc_row("cpc", "CPC*", {"model": "cpc", "encoder": ""}, 77.45, 77.81)
_NO_MAP_OF_GLOBALS = (
    "this version has no encoder with a map of globals for 32x32 images that is like the row's: "
    "crops32x32 is CPC's"
)


def _weights(alpha: float, beta: float, gamma: float) -> Row:
    settings = _dim("jsd", alpha, beta, gamma)
    same = next((r for r in (_DIM_L_JSD, _DIM_LG) if r.settings == settings), None)
    key = same.key if same else f"jsd_alpha{alpha:g}_beta{beta:g}_gamma{gamma:g}"
    return Row(key, f"α {alpha:g}, β {beta:g}, γ {gamma:g}", settings)


def _negatives(row: Row, estimator: str, count: int) -> Row:
    if not count:
        return Row(row.key, f"{estimator}, all other images", row.settings)
    settings = {**row.settings, "negatives": count}
    images = "1 other image" if count == 1 else f"{count} other images"
    return Row(f"{row.key}_negatives{count}", f"{estimator}, {images}", settings)


_NO_PAPER_VALUES = "The paper has no values for this ablation."
_CPC_32 = {"encoder": "foldresnet19_32x32", "critic_units": 1024}
_CPC_64 = {"encoder": "foldalex64x64", "image_size": 64, "critic_units": 1024}
_ALEX_64 = {"encoder": "alex64x64", "image_size": 64}
_STL10 = {"augmentation": "natural"}  # random windows and flips, as in flags/stl10.cfg
_BASIC_32 = {"encoder": "basic32x32"}
_BASIC_28 = {"encoder": "basic28x28"}

# Data sets whose encoder is trained on unlabelled images and measured by few labelled ones.
_FEW_LABELS = ("stl10", "tiny_imagenet_stl10")

TABLES: dict[str, Table] = {
    "1": Table(
        "Table 1: MLP probe of each endpoint",
        (
            _SUPERVISED,
            *_COMPARED,
            _DIM_G,
            _DIM_L_DV,
            _DIM_L_JSD,
            _DIM_L_INFONCE,
            _SIMCLR,
            _VICREG,
        ),
        _PROBE,
        notes=(_NETWORK_ACCURACY, _SECOND_HAND, _NO_ESTIMATOR),
    ),
    "2": Table(
        "Table 2: MLP probe and nearest neighbours of each endpoint on other data sets",
        (
            _SUPERVISED,
            _VAE,
            _AAE,
            _BIGAN,
            _NAT,
            _DIM_G,
            replace(_DIM_L_DV, name="DIM(L) DV", paper={}),  # not in the paper's Table 2
            _DIM_L_JSD,
            _DIM_L_INFONCE,
            _SIMCLR,
            _TWO_VIEWS,
        ),
        (*_PROBE, *_KNN, Column("fine_tuned", "conv", "fine-tuned", datasets=_FEW_LABELS)),
        {
            "": _ALEX_64,
            "fashion_mnist": _BASIC_28,
            **{dataset: {**_ALEX_64, **_STL10} for dataset in _FEW_LABELS},
        },
        (_NETWORK_ACCURACY, _NO_ESTIMATOR),
    ),
    "3": Table(
        "Table 3: SVM, reconstruction, information and dependence",
        (
            _with_paper(_VAE, "VAE", "cifar10", _table3_values(0.72, 93.02, 1.62)),
            _with_paper(_AAE, "AAE", "cifar10", _table3_values(0.67, 87.48, 0.03)),
            _with_paper(_BIGAN, "BiGAN", "cifar10", _table3_values(0.46, 37.69, 24.49)),
            _with_paper(_NAT, "NAT", "cifar10", _table3_values(0.29, 6.04, 0.02)),
            _with_paper(_DIM_G, "DIM(G)", "cifar10", _table3_values(0.49, 49.63, 0.35, 9.96)),
            _with_paper(_DIM_LG, "DIM(L+G)", "cifar10", _table3_values(0.53, 101.65, 0.5, 22.89)),
            _with_paper(_DIM_L_JSD, "DIM(L)", "cifar10", _table3_values(0.37, 45.09, 0.18, 9.18)),
        ),
        (
            Column("svm", "conv", "SVM conv"),
            Column("svm", "fc", "SVM fc"),
            Column("svm", "global", "SVM Y"),
            Column("ms_ssim", "global", "MS-SSIM", "", _SINGLE_SCALE),
            Column("mine", "global", "MINE", "nats", _UNBOUNDED),
            Column("ndm_sigmoid", "global", "NDM", "nats", _UNBOUNDED),
            Column("ndm", "global", "NDM without sigmoid", "nats", _UNBOUNDED),
        ),
        notes=("The paper does not name the estimator of its DIM rows; these rows use JSD.",),
    ),
    "4": Table(
        "Table 4: infoNCE with structure tasks",
        (
            _with_paper(
                _with_paper(
                    _DIM_L_INFONCE, "DIM(L) infoNCE", "cifar10", _probe_values(77.46, 73.33, 70.65)
                ),
                "DIM(L) infoNCE",
                "cifar100",
                _probe_values(49.90, 47.96, 44.27),
            ),
            _with_tasks(
                "dim_l_infonce_coordinates",
                "coordinates",
                coordinates=1.0,
                relative_coordinates=1.0,
            ),
            _with_tasks("dim_l_infonce_occlusion", "occlusion", occlusion=True),
            _with_tasks(
                "dim_l_infonce_coordinates_occlusion",
                "coordinates + occlusion",
                coordinates=1.0,
                relative_coordinates=1.0,
                occlusion=True,
            ),
        ),
        _PROBE,
        notes=("The weights of both coordinate tasks are 1; the paper does not state its own.",),
    ),
    "cpc": Table(
        "Comparison with CPC, on strided crops",
        (
            _cpc_row(
                "dim_one_global",
                "DIM(L), one global*",
                _dim("infonce", 0.0, 1.0, 0.1),
                80.95,
                76.97,
            ),
            _CPC,
            _cpc_row(
                "dim_many_globals",
                "DIM(L), many globals*",
                _dim("infonce", 0.0, 1.0, 0.1, encoder="foldmultialex64x64"),
                77.51,
                78.21,
                unavailable=dict.fromkeys(("cifar10", "cifar100"), _NO_MAP_OF_GLOBALS),
            ),
        ),
        _PROBE,
        {
            "cifar10": _CPC_32,
            "cifar100": _CPC_32,
            "": _CPC_64,
            "stl10": {**_CPC_64, **_STL10},
        },
        (
            _SECOND_HAND,
            "The paper has one value a row and does not name its endpoint; it is shown with each.",
        ),
    ),
    "cited": Table(
        "The methods that the paper cites, and newer ones: MLP probe of each endpoint",
        (
            _DIM_L_INFONCE,
            _DIM_L_JSD,
            _SUPERVISED,
            *_COMPARED,
            replace(_CPC, is_ranked=False),
            # Without training steps.
            _baseline("pca", "PCA"),
            _baseline("fastica", "FastICA"),
            _baseline("infomax_ica", "infomax ICA"),
            _baseline("sfa", "slow feature analysis"),
            _baseline("som", "self-organising map"),
            _baseline("rbm", "RBM"),
            _baseline("kmeans_features", "k-means features"),
            # Autoencoders and flows.
            _baseline("denoising_ae", "denoising AE"),
            _baseline("stacked_denoising_ae", "stacked denoising AE"),
            _baseline("contractive_ae", "contractive AE"),
            _baseline("beta_tcvae", "β-TCVAE"),
            replace(_baseline("vib", "VIB, supervised"), is_ranked=False),
            _baseline("nice", "NICE", encoder="", learning_rate=1e-3),
            _baseline("realnvp", "RealNVP", encoder="", learning_rate=1e-3),
            # Adversarial.
            Row(
                "bigan_reconstruction",
                "BiGAN + code reconstruction",  # and a learning rate of its own, unlike BiGAN
                {
                    "model": "bigan",
                    "bigan.prior": "gaussian",
                    "bigan.prior_penalty": 1.0,
                    "bigan.reconstruction": 0.15,
                    "learning_rate": 2e-4,
                },
            ),
            _baseline("ali", "ALI"),
            _baseline("dcgan", "DCGAN's discriminator", learning_rate=2e-4, batch_size=128),
            _baseline("infogan", "InfoGAN", learning_rate=2e-4, batch_size=128),
            _prior_or_independence("bgan", "boundary-seeking prior", prior_divergence="bgan"),
            _prior_or_independence(
                "wgan_gp", "Wasserstein prior", prior_divergence="wgan_gp", prior_penalty=10.0
            ),
            _prior_or_independence(
                "predictability", "minimal predictability", independence="predictability", gamma=0.0
            ),
            _prior_or_independence(
                "independence", "adversarial independence", independence="adversarial", gamma=0.0
            ),
            # Clustering.
            _baseline("dec", "DEC"),
            _baseline("dac", "DAC"),
            _baseline("imsat", "IMSAT"),
            _baseline("iic", "IIC"),
            # Pretext tasks.
            _baseline("exemplar", "exemplar"),
            _baseline("context_prediction", "context prediction"),
            _baseline("context_encoder", "context encoder"),
            _baseline("multi_task", "exemplar and context prediction"),
            # Newer than the paper.
            _SIMCLR,
            _VICREG,
            _baseline("barlow_twins", "Barlow Twins"),
        ),
        _PROBE,
        {"cifar10": _BASIC_32, "cifar100": _BASIC_32},
        (
            _NETWORK_ACCURACY,
            _SECOND_HAND,
            "CPC has an encoder of crops, the other rows that of the table; the paper's value is "
            "of a residual network and names no endpoint. The row is excluded from the ranking.",
            "Flows and rows without training steps have their own encoders, with fewer endpoints.",
            "DEC begins to cluster after 3,900 steps, half of 10 epochs, unless told otherwise.",
        ),
    ),
    "alpha": Table(
        "Ablation over α, the weight of global mutual information",
        [_weights(alpha, 0.1, 0.1) for alpha in (0.0, 0.1, 0.5, 1.0, 2.0)],
        _PROBE,
        notes=(_NO_PAPER_VALUES,),
    ),
    "beta": Table(
        "Ablation over β, the weight of local mutual information",
        [_weights(0.5, beta, 0.1) for beta in (0.0, 0.1, 0.5, 1.0, 2.0)],
        _PROBE,
        notes=(_NO_PAPER_VALUES,),
    ),
    "gamma": Table(
        "Ablation over γ, the weight of prior matching",
        [_weights(0.0, 1.0, gamma) for gamma in (0.0, 0.01, 0.1, 1.0, 10.0)],
        _PROBE,
        notes=(_NO_PAPER_VALUES,),
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
        _PROBE,
        notes=(_NO_PAPER_VALUES,),
    ),
}
