"""Layers and networks that encoders, critics and decoders are made of."""

PACKAGE = "keras_models"  # under which Keras registers what can be saved
