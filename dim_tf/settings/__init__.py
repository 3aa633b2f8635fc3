"""The settings of a run, in groups by what reads them.

`dim_tf.experiment` composes them with those of a model. Importing this package needs no TensorFlow.
"""
