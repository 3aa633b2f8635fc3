"""Checkpoints of every variable of a run, for an exact resume."""

import keras
import numpy as np
import tensorflow as tf

from dim_tf.errors import RunError

PROBE = "online_probe"


class Checkpoints:
    """The checkpoints in a run folder.

    They hold an explicit dict of all variables, by path: of the model, of both optimizers and of
    the online probe. The state of the data needs none, a batch is a function of the step.

    Args:
        model: a built `DeepInfoMax`.
        folder: where they are kept.
        keep: how many.
        writes: whether this process writes them; of several workers one does.
    """

    def __init__(self, model: keras.Model, folder, keep: int, writes: bool = True):
        self._writes = writes
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._variables = all_variables(model)
        checkpoint = _checkpoint_of(self._step, self._variables)
        self._manager = tf.train.CheckpointManager(checkpoint, str(folder), max_to_keep=keep)

    @property
    def latest(self) -> str | None:
        """The newest checkpoint's path."""
        return self._manager.latest_checkpoint

    def save(self, step: int) -> str:
        """Writes the checkpoint of `step`, if this process writes; returns the newest one's path.

        Raises:
            RunError: a weight is not finite; the checkpoints before stay as they are.
        """
        for path, variable in self._variables.items():
            if not np.all(np.isfinite(keras.ops.convert_to_numpy(variable))):
                raise RunError(
                    f"step {step}: {path} is not finite, so it was not saved; the last good "
                    f"checkpoint is {self.latest or 'none'}"
                )
        self._step.assign(step)
        if not self._writes:
            return str(self.latest)
        return self._manager.save(checkpoint_number=step)

    def restore(self) -> int:
        """Restores the newest checkpoint, if there is one; returns its step, or 0.

        Raises:
            RunError: it does not fit the model, or cannot be read.
        """
        if self.latest is None:
            return 0
        return _restore(self.latest, self._step, self._variables)


def restore_weights(model: keras.Model, folder) -> int | None:
    """Restores a model's weights from the newest checkpoint in `folder`, without the optimizers'.

    Returns:
        Its step; None if there is no checkpoint.

    Raises:
        RunError: it does not fit the model, or cannot be read.
    """
    latest = tf.train.latest_checkpoint(str(folder))
    if latest is None:
        return None
    step = tf.Variable(0, dtype=tf.int64, trainable=False)
    return _restore(latest, step, _by_path({"model": model.variables}))


def _checkpoint_of(step, variables):
    return tf.train.Checkpoint(step=step, **{path: v.value for path, v in variables.items()})


def _restore(path, step, variables) -> int:
    try:
        if not any(name.startswith(PROBE) for name, _ in tf.train.list_variables(path)):
            # The run began without the online probe, on which nothing else depends.
            variables = {name: v for name, v in variables.items() if not name.startswith(PROBE)}
        status = _checkpoint_of(step, variables).restore(path).expect_partial()
        status.assert_existing_objects_matched()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"{path} cannot be restored: {reason}") from error
    return int(step.numpy())


def all_variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Every variable of the model, its optimizers and its probe, by a name unique among them."""
    return _by_path(
        {
            "model": model.variables,
            "optimizer": model.optimizer.variables,
            "adversary": model.adversary_optimizer.variables,
            PROBE: model.probe.variables if model.probe else [],
        }
    )


def _by_path(groups: dict[str, list]) -> dict[str, keras.Variable]:
    named = [(f"{group}/{v.path}", v) for group, owned in groups.items() for v in owned]
    by_path = {path.replace("/", "."): v for path, v in named}
    if len(by_path) != len(named):
        raise ValueError("two variables have the same path; give their layers different names")
    return by_path
