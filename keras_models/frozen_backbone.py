"""The callback by which `fit` freezes a backbone for the first steps."""

from typing import Any

import keras


class FreezeBackbone(keras.callbacks.Callback):
    """Freezes a model's backbone, and unfreezes it when its frozen steps are over."""

    def on_train_batch_begin(self, batch, logs=None):
        self.model.apply_frozen_steps()


def with_callback(callbacks: Any, callback: keras.callbacks.Callback) -> Any:
    """Adds a callback to Keras' `callbacks`: a `CallbackList`, a list, one callback, or None."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(callback)
        return callbacks
    if not isinstance(callbacks, list | tuple):
        callbacks = [callbacks] if callbacks else []
    return [*callbacks, callback]
