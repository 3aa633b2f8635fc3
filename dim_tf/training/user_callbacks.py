"""A user's Keras callbacks in a run, which calls `fit` several times."""

from collections.abc import Sequence

import keras

from dim_tf.system.errors import InputError


class UserCallbacks(keras.callbacks.Callback):
    """Passes the events of a run to Keras callbacks, as if it were a single call of `fit`.

    They see one start and one end of training. Epochs are counted from the run's first one, even if
    it resumes; an epoch in which training starts or ends has fewer steps.

    Args:
        callbacks: The user's callbacks.
        epochs: Number of epochs of the whole run.
        steps_per_epoch: Steps per epoch of the data.

    Raises:
        InputError: One of them is not a Keras callback.
    """

    def __init__(
        self, callbacks: Sequence[keras.callbacks.Callback], epochs: int, steps_per_epoch: int
    ):
        super().__init__()
        for callback in callbacks:
            if not isinstance(callback, keras.callbacks.Callback):
                raise InputError(
                    f"callbacks has {callback!r:.100}; expected objects of keras.callbacks.Callback"
                )
        self._callbacks = keras.callbacks.CallbackList(list(callbacks))
        self._run_params = {"epochs": epochs, "steps": steps_per_epoch}
        self._has_begun = False
        self._logs: dict[str, float] | None = None

    def set_params(self, params):
        super().set_params(params)
        self._callbacks.set_params({**params, **self._run_params})

    def on_train_begin(self, logs=None):
        if not self._has_begun and self._callbacks.callbacks:
            self._callbacks.set_model(self.model)
            self._callbacks.on_train_begin(logs)
            self._has_begun = True

    def on_epoch_begin(self, epoch, logs=None):
        self._callbacks.on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch, logs=None):
        self._logs = logs
        self._callbacks.on_epoch_end(epoch, logs)

    def on_train_batch_begin(self, batch, logs=None):
        self._callbacks.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self._callbacks.on_train_batch_end(batch, logs)

    def end(self) -> bool:
        """Tells the callbacks that training ends; returns whether there were any to tell."""
        if not self._has_begun:
            return False
        self._has_begun = False
        self._callbacks.on_train_end(self._logs)
        return True
