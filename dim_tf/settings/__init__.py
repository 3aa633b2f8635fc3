"""The settings of a run, in groups by what reads them; `Experiment` composes them.

Importing this package needs no TensorFlow.
"""

from dim_tf.settings.experiment import Experiment

__all__ = ["Experiment"]
