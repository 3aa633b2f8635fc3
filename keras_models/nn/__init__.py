"""The layers and networks that encoders, critics and decoders consist of."""

PACKAGE = "keras_models"  # Keras' package name of our serializable classes
