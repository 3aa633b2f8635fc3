"""The settings of a run, grouped by what reads them.

`dim_tf.experiment` combines them with a model's settings. This package imports no TensorFlow.
"""
