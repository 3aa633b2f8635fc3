"""Checkpoints of every variable of a run, for an exact resume."""

import re
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from dim_tf.errors import NotFinite, RunError
from dim_tf.files import remove_unfinished
from dim_tf.training import checkpoint_files
from dim_tf.writing import reason, writing

PROBE = "online_probe"
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # what TensorFlow's names of variables end in
_COUNTED = re.compile(r"(variable|seed_generator)_\d+")


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
            remove_unfinished(self._folder)

    @property
    def latest(self) -> str | None:
        """The newest checkpoint's path."""
        good = self._good()
        return str(checkpoint_files.prefix(self._folder, good[-1])) if good else None

    def save(self, step: int) -> str | None:
        """Writes the checkpoint of `step`, if this process writes.

        Returns:
            The newest one's path; None: there is none.

        Raises:
            NotFinite: a weight is not finite; the checkpoints before stay as they are.
            RunError: it cannot be written; likewise.
        """
        for path, variable in self._variables.items():
            if not np.all(np.isfinite(keras.ops.convert_to_numpy(variable))):
                raise NotFinite(f"step {step}: {path} is not finite")
        self._step.assign(step)
        if self._writes:
            with writing(
                f"the checkpoint of step {step}",
                self._folder,
                f"the one before, {self.latest or 'none'}, is intact; make room and give the same "
                "command again, which goes on from there",
            ):
                checkpoint = _checkpoint_of(self._step, self._variables)
                checkpoint_files.write(checkpoint, self._folder, step)
                self._damaged = [one for one in self._damaged if one != step]
                checkpoint_files.keep_only(self._folder, self._good()[-self._keep :])
        return self.latest

    def restore(self) -> int:
        """Restores the newest good checkpoint, if there is one; returns its step, or 0.

        Raises:
            RunError: all are damaged, or it does not fit the model.
        """
        found = checkpoint_files.newest_good(self._folder)
        if found is None:
            return 0
        self._damaged = found.passed_over
        for name, value in self._new_probe.items():  # a checkpoint may have none
            self._variables[name].assign(value)
        return _restore(self._folder, found.step, self._step, self._variables)

    def _good(self) -> list[int]:
        return [step for step in checkpoint_files.steps(self._folder) if step not in self._damaged]


def restore_weights(model: keras.Model, folder) -> int | None:
    """Restores a model's weights from the newest good checkpoint, without the optimizers'.

    Returns:
        Its step; None if there is no checkpoint.

    Raises:
        RunError: all are damaged, or it does not fit the model.
    """
    found = checkpoint_files.newest_good(Path(folder))
    if found is None:
        return None
    step = tf.Variable(0, dtype=tf.int64, trainable=False)
    return _restore(Path(folder), found.step, step, _by_path({"model": model.variables}))


def restore_encoder(encoder: keras.Model, folder: Path) -> int | None:
    """Restores the encoder of a run alone, whatever model trained it.

    Args:
        encoder: of the run's architecture, built.
        folder: of the checkpoints.

    Returns:
        Its step; None if there is no checkpoint.

    Raises:
        RunError: all are damaged, or it does not fit the encoder.
    """
    found = checkpoint_files.newest_good(folder)
    if found is None:
        return None
    path = str(checkpoint_files.prefix(folder, found.step))
    names = {
        name.removesuffix(_VALUE).replace("..", ".")
        for name, _ in tf.train.list_variables(path)
        if name.endswith(_VALUE)
    }
    models = {name.split(".")[1] for name in names if name.startswith("model.")}
    variables = {}
    for name, variable in _by_path({"model": encoder.variables}).items():
        # A model that builds its encoder puts its own name before those of some variables.
        inner = [f"model.{model}.{name.removeprefix('model.')}" for model in sorted(models)]
        variables[next((one for one in [name, *inner] if one in names), name)] = variable
    step = tf.Variable(0, dtype=tf.int64, trainable=False)
    return _restore(folder, found.step, step, variables)


def _checkpoint_of(step, variables):
    return tf.train.Checkpoint(step=step, **{path: v.value for path, v in variables.items()})


def _restore(folder, number, step, variables) -> int:
    path = str(checkpoint_files.prefix(folder, number))
    try:
        if not any(name.startswith(PROBE) for name, _ in tf.train.list_variables(path)):
            # The run began without the online probe, on which nothing else depends.
            variables = {name: v for name, v in variables.items() if not name.startswith(PROBE)}
        status = _checkpoint_of(step, variables).read(path).expect_partial()
        status.assert_existing_objects_matched()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        raise RunError(f"{path} cannot be restored: {reason(error)}") from error
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
    """By names that are the same whenever the same model is made.

    Keras counts variables that nobody named (variable_7) over the whole process, as those of
    ConvNeXt's LayerScale, and the seeds of dropout (seed_generator_7). Layers in different parts of
    a model may have the same path.
    """
    by_path: dict[str, keras.Variable] = {}
    count: Counter[str] = Counter()
    for group, owned in groups.items():
        for variable in owned:
            path = _COUNTED.sub(r"\1", f"{group}/{variable.path}").replace("/", ".")
            count[path] += 1
            by_path[path + f"#{count[path]}" * (count[path] > 1)] = variable
    return by_path
