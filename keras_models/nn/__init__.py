"""Layers and networks of which encoders, critics and decoders consist."""

PACKAGE = "keras_models"  # Keras' package name of our serializable classes
