"""Checkpoints of every variable of a run, for an exact resume.

Keras' BackupAndRestore and tf.train.CheckpointManager are not used: neither finds damaged files,
and both store variables by their place in the model, not by name.
"""

import re
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from dim_tf.system.errors import NonFiniteError, RunError
from dim_tf.system.files import remove_temporary_files
from dim_tf.system.io_errors import reason, translate_write_errors
from dim_tf.training import checkpoint_files
from keras_models.objective_model import ObjectiveModel

PROBE = "online_probe"
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # the end of TensorFlow's names of variables
_NUMBERED = re.compile(r"(variable|seed_generator)_\d+")


class Checkpoints:
    """The checkpoints in a run folder.

    They contain all variables by name: those of the model, of both optimizers and of the online
    probe. The data need none, because a batch is a function of the step.

    Args:
        model: A built and compiled `ObjectiveModel`, or a built model without steps.
        folder: Where the checkpoints are kept.
        keep: Number of checkpoints to keep.
        writes: Whether this process writes them; among several workers, only one does.
    """

    def __init__(self, model: keras.Model, folder, keep: int, writes: bool = True):
        self._folder = Path(folder)
        self._keep = keep
        self._writes = writes
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._variables = all_variables(model)
        self._new_probe = {
            name: variable.numpy()
            for name, variable in self._variables.items()
            if name.startswith(PROBE)
        }
        self._damaged: list[int] = []
        if writes:
            remove_temporary_files(self._folder)

    @property
    def latest(self) -> str | None:
        """The path of the newest checkpoint."""
        steps = self._intact_steps()
        return str(checkpoint_files.prefix(self._folder, steps[-1])) if steps else None

    def save(self, step: int) -> str | None:
        """Writes the checkpoint of `step`, if this process writes.

        Returns:
            The path of the newest checkpoint; None if there is none.

        Raises:
            NonFiniteError: A weight is not finite; earlier checkpoints do not change.
            RunError: It cannot be written; earlier checkpoints do not change.
        """
        for name, variable in self._variables.items():
            if not np.all(np.isfinite(keras.ops.convert_to_numpy(variable))):
                raise NonFiniteError(f"step {step}: {name} is not finite")
        self._step.assign(step)
        if self._writes:
            with translate_write_errors(
                f"the checkpoint of step {step}",
                self._folder,
                f"the one before, {self.latest or 'none'}, is intact; make room and give the same "
                "command again, which continues from there",
            ):
                checkpoint = _checkpoint_of(self._step, self._variables)
                checkpoint_files.write(checkpoint, self._folder, step)
                self._damaged = [damaged for damaged in self._damaged if damaged != step]
                checkpoint_files.remove_all_but(self._folder, self._intact_steps()[-self._keep :])
        return self.latest

    def restore(self) -> int:
        """Restores the newest intact checkpoint, if there is one; returns its step, or 0.

        Raises:
            RunError: All checkpoints are damaged, or the checkpoint does not fit the model.
        """
        checkpoint = checkpoint_files.newest_intact(self._folder)
        if checkpoint is None:
            return 0
        self._damaged = checkpoint.damaged
        for name, value in self._new_probe.items():  # a checkpoint may have none
            self._variables[name].assign(value)
        return _restore(self._folder, checkpoint.step, self._step, self._variables)

    def _intact_steps(self) -> list[int]:
        return [step for step in checkpoint_files.steps(self._folder) if step not in self._damaged]


def restore_weights(model: keras.Model, folder) -> int | None:
    """Restores a model's weights from the newest intact checkpoint, without the optimizers.

    Returns:
        Its step; None if there is no checkpoint.

    Raises:
        RunError: All checkpoints are damaged, or the checkpoint does not fit the model.
    """
    checkpoint = checkpoint_files.newest_intact(Path(folder))
    if checkpoint is None:
        return None
    step = tf.Variable(0, dtype=tf.int64, trainable=False)
    return _restore(Path(folder), checkpoint.step, step, _by_name({"model": model.variables}))


def restore_encoder(encoder: keras.Model, folder: Path) -> int | None:
    """Restores only the encoder of a run, whatever model trained it.

    Args:
        encoder: Built, with the architecture of the run's encoder.
        folder: Folder of the checkpoints.

    Returns:
        Its step; None if there is no checkpoint.

    Raises:
        RunError: All checkpoints are damaged, or the checkpoint does not fit the encoder.
    """
    checkpoint = checkpoint_files.newest_intact(folder)
    if checkpoint is None:
        return None
    path = str(checkpoint_files.prefix(folder, checkpoint.step))
    saved_names = {
        name.removesuffix(_VALUE).replace("..", ".")
        for name, _ in tf.train.list_variables(path)
        if name.endswith(_VALUE)
    }
    models = {name.split(".")[1] for name in saved_names if name.startswith("model.")}
    variables = {}
    for name, variable in _by_name({"model": encoder.variables}).items():
        # A model that builds its encoder puts its own name before those of some variables.
        prefixed = [f"model.{model}.{name.removeprefix('model.')}" for model in sorted(models)]
        saved = (candidate for candidate in [name, *prefixed] if candidate in saved_names)
        variables[next(saved, name)] = variable
    step = tf.Variable(0, dtype=tf.int64, trainable=False)
    return _restore(folder, checkpoint.step, step, variables)


def _checkpoint_of(step, variables):
    return tf.train.Checkpoint(step=step, **{name: v.value for name, v in variables.items()})


def _restore(folder, number, step, variables) -> int:
    path = str(checkpoint_files.prefix(folder, number))
    try:
        if not any(name.startswith(PROBE) for name, _ in tf.train.list_variables(path)):
            # The run started without the online probe, on which nothing else depends.
            variables = {name: v for name, v in variables.items() if not name.startswith(PROBE)}
        status = _checkpoint_of(step, variables).read(path).expect_partial()
        status.assert_existing_objects_matched()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        raise RunError(f"{path} cannot be restored: {reason(error)}") from error
    return int(step.numpy())


def all_variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Every variable of the model, its optimizers and its probe, by a unique name."""
    groups = {"model": model.variables}
    if isinstance(model, ObjectiveModel):
        groups |= {
            "optimizer": model.optimizer.variables,
            "adversary": model.adversary_optimizer.variables,
            PROBE: getattr(model.probe, "variables", []),
        }
    return _by_name(groups)


def _by_name(groups: dict[str, list]) -> dict[str, keras.Variable]:
    """Variables by names that are the same whenever the same model is created.

    Keras numbers unnamed variables (variable_7), such as those of ConvNeXt's LayerScale, and the
    seeds of dropout (seed_generator_7) over the whole process. Layers in different parts of a model
    may have the same path.
    """
    by_name: dict[str, keras.Variable] = {}
    count: Counter[str] = Counter()
    for group, variables in groups.items():
        for variable in variables:
            name = _NUMBERED.sub(r"\1", f"{group}/{variable.path}").replace("/", ".")
            count[name] += 1
            by_name[name + f"#{count[name]}" * (count[name] > 1)] = variable
    return by_name
