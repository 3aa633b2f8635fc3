"""Content for the tests of the report, and functions that read the page."""

import base64
import io
import math
import re

import numpy as np
from PIL import Image

from dim_tf.evaluation import pictures, report

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
        "knn": {"unit": "share", "better": "higher", "title": "neighbour vote"},
        "mlp_probe": {"unit": "share", "better": "higher", "title": "MLP probe"},
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
    "floors": {
        "random_encoder": {"mlp_probe": {"conv": 0.5123, "global": 0.3512}},
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


def one_measure(values, unit="share", better="higher", **beside):
    """An evaluation of one measure, `m`."""
    kind = {"unit": unit, "better": better, "title": "measure m"}
    return {"m": values, "measures": {"m": kind}, **beside}


def write(folder, **parts):
    """Writes a report with the given parts; returns the page."""
    content = {"experiment": EXPERIMENT, "evaluation": {}, "metrics": [], "panels": []}
    path = folder / "report.html"
    report.write(path, **{**content, "versions": {"keras": "3.1"}, **parts})
    return path.read_text(encoding="utf-8")


def row(page, heading):
    """The cells of the first row with this heading, without tags."""
    cells = re.search(rf'<th scope="row">{re.escape(heading)}</th>(.*?)</tr>', page).group(1)
    return [re.sub("<[^>]*>", "", cell) for cell in re.findall("<td.*?</td>", cells)]


def section(page, heading):
    """The content below a heading."""
    return re.search(rf"<h2>{heading}</h2>(.*?)</section>", page, re.DOTALL).group(1)


def lines(steps, **values):
    """Lines of metrics.jsonl; each value is a function of the step."""
    return [
        {"step": s, "epoch": 1, **{name: value(s) for name, value in values.items()}}
        for s in range(1, steps + 1)
    ]


def images(count, channels=3, seed=0):
    """uint8 [count, 6, 5, channels]."""
    return np.random.default_rng(seed).integers(0, 200, (count, 6, 5, channels), np.uint8)


def neighbours(channels=3, same_label=None):
    pixels = images(8, channels).reshape(2, 4, 6, 5, channels)
    return pictures.NeighbourPanel("global, L1", pixels[:, 0], pixels[:, 1:], same_label)


def projection(points=12, with_images=True):
    """Points of three classes in turn."""
    places = np.random.default_rng(0).normal(size=(points, 2))
    shown = images(points) if with_images else None
    labels = np.arange(points) % 3
    return pictures.Projection("global, PCA", places, labels, ("cat", "dog", "frog"), shown)


def every_picture():
    """One of each kind."""
    counts = np.array([[8, 2, 0], [3, 7, 0], [0, 0, 10]])
    densities = {"encoder": np.array([0.2, 0.8]), "prior": np.array([0.5, 0.5])}
    return [
        neighbours(3, np.array([[True, False, False], [True, True, False]])),
        pictures.SampleGrid("generated images", images(9)),
        pictures.Reconstructions("from global, L2", images(4), images(4, seed=1)),
        projection(),
        pictures.ConfusionMatrix("MLP probe", counts, ("cat", "dog", "frog")),
        pictures.Histogram("units of global", np.array([0.0, 1.0, 2.0]), densities),
    ]


def decoded(page):
    """The images of the page as arrays, in their order."""
    files = re.findall(r'<im(?:g|age) [^>]*?(?:src|href)="data:image/png;base64,([^"]*)"', page)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(file)))) for file in files]
