"""Deep InfoMax for TensorFlow and Keras: images in, a measured, exported encoder out.

    import dim_tf

    run = dim_tf.train("photos/", encoder="keras:MobileNetV3Small")
    run.evaluate()
    features = dim_tf.load(run.export())(["photos/a.jpg"])

docs/API.md describes each name. Importing this package does not import TensorFlow; each name
imports what it needs on first use.
"""

import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dim_tf.api import anomaly, curate, embed, finetune, search, train
    from dim_tf.collection.index import Index
    from dim_tf.experiment import Experiment
    from dim_tf.export.exported_encoder import ExportedEncoder, load
    from dim_tf.run import Run
    from dim_tf.system.errors import InputError, RunError
    from dim_tf.system.signals import Stopped

__version__ = "0.2.0"

__all__ = [
    "Experiment",
    "ExportedEncoder",
    "Index",
    "InputError",
    "Run",
    "RunError",
    "Stopped",
    "anomaly",
    "curate",
    "embed",
    "finetune",
    "load",
    "search",
    "train",
]

_OBJECTS = {
    "Experiment": "dim_tf.experiment:Experiment",
    "ExportedEncoder": "dim_tf.export.exported_encoder:ExportedEncoder",
    "Index": "dim_tf.collection.index:Index",
    "InputError": "dim_tf.system.errors:InputError",
    "Run": "dim_tf.run:Run",
    "RunError": "dim_tf.system.errors:RunError",
    "Stopped": "dim_tf.system.signals:Stopped",
    "anomaly": "dim_tf.api:anomaly",
    "curate": "dim_tf.api:curate",
    "embed": "dim_tf.api:embed",
    "finetune": "dim_tf.api:finetune",
    "load": "dim_tf.export.exported_encoder:load",
    "search": "dim_tf.api:search",
    "train": "dim_tf.api:train",
}


def __getattr__(name: str) -> Any:
    if name not in _OBJECTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = pkgutil.resolve_name(_OBJECTS[name])
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
