"""A sample run for the tests of the reports, and functions that read its page."""

import base64
import io
import math
import re

import numpy as np
from PIL import Image

from dim_tf.evaluation import figures
from dim_tf.evaluation.report.run_report import write_run_report

EXPERIMENT = {
    "name": "cifar10_jsd",
    "export_dir": "exported",
    "dataset": "cifar10",
    "estimator": "jsd",
    "epochs": 20,
    "alpha": 0.0,
    "beta": 1.0,
    "occlusion": False,
}
EVALUATION = {
    "knn": {"conv": 0.432, "global": math.nan},
    "mlp_probe": {"conv": 0.6553, "fc": 0.6412, "global": 0.4987},
    "attribute_auc": {"global": 0.8512},
    "ndm": {"global": 12.3456},
    "effective_rank": {"global": 37.4},
    "measures": {
        "knn": {"unit": "fraction", "better": "higher", "title": "neighbour vote"},
        "mlp_probe": {"unit": "fraction", "better": "higher", "title": "MLP probe"},
        "attribute_auc": {"unit": "auc", "better": "higher", "title": "attributes: mean AUC"},
        "ndm": {"unit": "nats", "better": "lower", "title": "neural dependency"},
        "effective_rank": {"unit": "", "better": None, "title": "effective rank"},
    },
    "uncertainty": {
        "mlp_probe": {
            "conv": {"std": 0.0021, "n": 2, "ci95": [0.646, 0.664]},
            "global": {"std": 0.0349, "n": 1},
        }
    },
    "references": {
        "random_weights": {"mlp_probe": {"conv": 0.5123, "global": 0.3512}},
        "pixels": {"mlp_probe": {"pixels": 0.3834}},
    },
    "attributes": {
        "global": {
            "Bald": {"auc": math.nan, "accuracy": 0.9},
            "Smiling": {"auc": 0.91, "accuracy": 0.88},
            "Big_Nose": {"auc": 0.95, "accuracy": 0.8},
        }
    },
    "protocol": {"data": "10,000 images to test on.", "step": 7810},
    "cost": {"features": 30.04, "mlp": 90.0},
}


def one_measure(values, unit="fraction", better="higher", **entries):
    """An evaluation of one measure, `m`."""
    info = {"unit": unit, "better": better, "title": "measure m"}
    return {"m": values, "measures": {"m": info}, **entries}


def write(folder, **arguments):
    """Writes the report of the arguments, by default of an empty run, and returns the page."""
    content = {"experiment": EXPERIMENT, "evaluation": {}, "metrics": [], "figures": []}
    path = folder / "report.html"
    write_run_report(path, **{**content, "versions": {"keras": "3.1"}, **arguments})
    return path.read_text(encoding="utf-8")


def row(page, heading):
    """The cells of the first row with this heading, without tags."""
    cells = re.search(rf'<th scope="row">{re.escape(heading)}</th>(.*?)</tr>', page).group(1)
    return [re.sub("<[^>]*>", "", cell) for cell in re.findall("<td.*?</td>", cells)]


def section(page, heading):
    """The content below a heading."""
    return re.search(rf"<h2>{heading}</h2>(.*?)</section>", page, re.DOTALL).group(1)


def metrics_lines(steps, **values):
    """Lines of metrics.jsonl; each value is a function of the step."""
    return [
        {"step": s, "epoch": 1, **{name: value(s) for name, value in values.items()}}
        for s in range(1, steps + 1)
    ]


def random_images(count, channels=3, seed=0):
    """uint8 [count, 6, 5, channels]."""
    return np.random.default_rng(seed).integers(0, 200, (count, 6, 5, channels), np.uint8)


def neighbours(channels=3, same_label=None):
    pixels = random_images(8, channels).reshape(2, 4, 6, 5, channels)
    return figures.NeighbourPanel("global, L1", pixels[:, 0], pixels[:, 1:], same_label)


def projection(points=12, with_images=True):
    """Points of three classes in turn."""
    points_2d = np.random.default_rng(0).normal(size=(points, 2))
    images = random_images(points) if with_images else None
    labels = np.arange(points) % 3
    return figures.Projection("global, PCA", points_2d, labels, ("cat", "dog", "frog"), images)


def every_figure():
    """One of each kind."""
    counts = np.array([[8, 2, 0], [3, 7, 0], [0, 0, 10]])
    densities = {"encoder": np.array([0.2, 0.8]), "prior": np.array([0.5, 0.5])}
    return [
        neighbours(3, np.array([[True, False, False], [True, True, False]])),
        figures.SampleGrid("generated images", random_images(9)),
        figures.Reconstructions("from global, L2", random_images(4), random_images(4, seed=1)),
        figures.PatchMaps("local map", random_images(3), random_images(3, seed=2), (0.5, 0.2, 0.1)),
        projection(),
        figures.ConfusionMatrix("MLP probe", counts, ("cat", "dog", "frog")),
        figures.Histogram("units of global", np.array([0.0, 1.0, 2.0]), densities),
    ]


def decode_images(page):
    """The images of the page, in their order."""
    files = re.findall(r'<im(?:g|age) [^>]*?(?:src|href)="data:image/png;base64,([^"]*)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(file)))) for file in files]
