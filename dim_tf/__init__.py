"""Deep InfoMax for TensorFlow and Keras: images in, a measured, exported encoder out."""

__version__ = "0.1.0"
