"""`Run`: the stages of an experiment, for programs, notebooks and the command line."""

import contextlib
import dataclasses
import functools
import html
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from dim_tf import data, preconditions
from dim_tf.data import DataRequest, validation_split
from dim_tf.data.folder.image_folders import join_folders
from dim_tf.data.image_frame import ImageFrame, ImageSize
from dim_tf.data.splits import Splits
from dim_tf.experiment import Experiment, all_fields
from dim_tf.models.fitted import FittedModel
from dim_tf.settings.anomaly import AnomalySettings
from dim_tf.settings.collection import CollectionSettings
from dim_tf.settings.config_field import kind_of
from dim_tf.settings.curation import CurationSettings
from dim_tf.settings.export import ExportSettings
from dim_tf.settings.finetuning import FineTuningSettings
from dim_tf.settings.search import SearchSettings
from dim_tf.system import console, process_state
from dim_tf.system.console import say
from dim_tf.system.errors import InputError, RunError
from dim_tf.system.files import read_text
from dim_tf.system.io_errors import reason
from dim_tf.system.json_files import read_json
from dim_tf.system.locks import locked_folder
from dim_tf.training import checkpoint_files, fit, loop, plan, strategy
from dim_tf.training.encoder_model import EncoderModel
from dim_tf.training.model import image_request, load_trained

if TYPE_CHECKING:
    from dim_tf.collection.curation.curation import Curation
    from dim_tf.collection.detect_folder import Anomalies
    from dim_tf.collection.search import QueryMatches

REPORT_FILE = "report.html"
REPORT_HEIGHT = 800  # pixels, in a notebook


@dataclass(frozen=True)
class Report:
    """The report of a run. A notebook displays it.

    Attributes:
        path: The HTML page.
    """

    path: Path

    def _repr_html_(self) -> str:
        # In a frame, so that its style does not affect the notebook. The frame has no base URL of
        # its own, so links to the page's sections would load the notebook into the frame.
        page = self.path.read_text(encoding="utf-8")
        page = html.escape(page.replace("<head>", '<head><base href="about:srcdoc">', 1))
        return (
            f'<iframe srcdoc="{page}" width="100%" height="{REPORT_HEIGHT}" '
            'style="border: 0"></iframe>'
        )


class Run:
    """A run: an experiment, its data and its folder.

    Each stage raises InputError for wrong settings or missing data, and RunError if it fails. It
    leaves Keras' policy, the random seeds and the signal handlers as they were.

    Args:
        experiment: The settings.
        verbose: 1 prints lines, and Keras' progress bar during training; 0 prints nothing.

    Attributes:
        experiment: The settings.
        verbose: As above.
    """

    def __init__(self, experiment: Experiment, verbose: int = 1):
        self.experiment = experiment
        self.verbose = verbose
        self._is_locked = False

    @classmethod
    def load(cls, path: str | os.PathLike, *, verbose: int = 1, **settings: Any) -> "Run":
        """The run of a run folder.

        Args:
            path: The run folder.
            verbose: As for `Run`.
            **settings: Settings that replace those of the run, by flag name, such as epochs.

        Raises:
            InputError: The path is not a run folder, or a setting is wrong.
        """
        file = Path(path) / "experiment.json"
        try:
            text = read_text(file)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path} is no run folder (experiment.json: {reason(error)}); give one that "
                "training wrote, such as runs/digits"
            ) from error
        try:
            experiment = Experiment.from_json(text)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
        # The run continues, on the devices of this machine.
        here = {"resume": True, "strategy": "auto", "replicas": 0}
        changes = {**here, **flag_values(settings), "run_dir": os.fspath(path)}
        return cls(experiment.replace(**changes), verbose)

    def __repr__(self):
        return f"Run({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.experiment.run_path

    def train(self, callbacks: Sequence[keras.callbacks.Callback] = ()) -> None:
        """Trains to the last step from the newest checkpoint in the run folder; or fits the model.

        Args:
            callbacks: Keras callbacks. They see epochs counted from the first epoch of the run. A
                callback that sets `model.stop_training` ends training after a checkpoint; `train`
                then continues.

        Raises:
            Stopped: SIGTERM or SIGINT (Ctrl-C) arrived; a checkpoint was saved.
        """
        with self._stage("train", self.experiment) as devices:
            splits = self._data
            began = time.monotonic()
            first_step = max(checkpoint_files.steps(self.path / "checkpoints"), default=0)
            if devices is None:
                settings = self.experiment.training
                devices = strategy.get(settings.strategy, settings.replicas)
            experiment = plan.resolve(self.experiment, splits, devices)
            continued = experiment.replace(resume=True)
            try:
                if isinstance(experiment.model, FittedModel):
                    fit.fit(experiment, splits, callbacks)
                else:
                    loop.train(experiment, splits, devices, callbacks)
            except InputError:  # nothing was begun
                raise
            except BaseException:
                self.experiment = continued
                raise
            self.experiment = continued
            plan.say_overrun(
                experiment,
                time.monotonic() - began,
                first_step if experiment.training.resume else 0,
            )

    def evaluate(self, measures: str | Sequence[str] | None = None) -> dict[str, Any]:
        """Measures the trained encoder; writes evaluation.json and report.html.

        Args:
            measures: Names of measures, as a list or separated by commas. None: those of the
                settings.

        Returns:
            The content of evaluation.json; empty if there are no test images.

        Raises:
            MeasureError: A measure failed. The results of all others have been written.
        """
        experiment = self.experiment
        if measures is not None:
            experiment = experiment.replace(**flag_values({"measures": measures}))
        with self._stage("evaluate", experiment):
            from dim_tf.stages import evaluate  # takes seconds

            experiment = plan.of_trained(experiment)
            has_encoder = experiment.evaluation.encoder_path or experiment.model.HAS_ENCODER
            if has_encoder and not len(self._data.test):
                say(evaluate.NOTHING_TO_MEASURE)
                return {}
            if experiment.evaluation.encoder_path:
                evaluate.evaluate_saved(experiment, self._data)
            elif not experiment.model.HAS_ENCODER:
                evaluate.show_samples(experiment, self._data)
            else:
                evaluate.evaluate(experiment, self._data)
        return read_json(self.path / "evaluation.json", "evaluate again")

    def check_references(self) -> None:
        """Loads the encoders of --reference, so that a wrong one is refused before training.

        Raises:
            InputError: One of them cannot be measured.
        """
        if not self.experiment.evaluation.reference_paths:
            return
        with self._process():
            _ = self._devices  # before the data, which use the CPU
            from dim_tf.evaluation.references import load_named  # takes seconds

            load_named(self.experiment, self._data)

    def check_labels(self) -> None:
        """Checks before training that `finetune` will have enough labels for a classifier.

        Raises:
            InputError: There are no labels, or too few.
        """
        with self._process():
            _ = self._devices  # before the data, which use the CPU
            from dim_tf.finetuning.train_classifier import check_labels  # takes seconds

            check_labels(self._data, self.experiment.finetuning, self.experiment.training.seed)

    @property
    def verdict(self) -> list[str]:
        """Whether training helped, as `evaluate` wrote it: one line by kNN, one by linear probe.

        Empty before the run is evaluated.
        """
        from dim_tf.evaluation import verdict  # takes seconds

        path = self.path / "evaluation.json"
        if not path.is_file():
            return []
        return verdict.lines(read_json(path, "evaluate again"))

    def report(self) -> Report:
        """The report that `evaluate` wrote.

        Raises:
            InputError: The run has not been evaluated.
        """
        path = self.path / REPORT_FILE
        if not path.is_file():
            raise InputError(f"{path} does not exist; evaluate the run first")
        return Report(path)

    def export(self, **settings: Any) -> Path:
        """Exports the trained encoder as SavedModel and TFLite.

        Args:
            **settings: Settings of the export, by flag name, such as tflite="none".

        Returns:
            The folder of the new version, exported/NAME/VERSION.
        """
        experiment = self._with(ExportSettings, settings)
        with self._stage("export", experiment):
            from dim_tf.stages.export import export  # takes seconds

            return export(plan.of_trained(experiment), self._data)

    def finetune(self, **settings: Any) -> Path:
        """Trains a classifier on the run's newest export and the labels of the run's images.

        Writes RUN_DIR/finetune/ (docs/FINETUNE.md) and publishes exported/NAME-classifier/VERSION.
        A second call continues where the first one stopped. If that one had finished, it exports
        again.

            path = run.finetune(finetune_layers="head")
            probabilities = tf.saved_model.load(str(path))(images)

        Args:
            **settings: Settings of the group finetuning, by flag name, such as
                finetune_layers="head".

        Returns:
            The folder of the new version.

        Raises:
            Stopped: SIGTERM or SIGINT (Ctrl-C) arrived; a checkpoint was saved.
        """
        experiment = self._with(FineTuningSettings, settings)
        with self._stage("finetune", experiment):
            from dim_tf.stages import finetune  # takes seconds

            size = finetune.exported_image_size(experiment)
            return finetune.finetune(experiment, self._data_of_size(size))

    def embed(self, source: str = "", output: str = "", **settings: Any) -> Path:
        """Embeds a collection of images by the newest export of this run; writes the embeddings.

        Args:
            source: A folder, a pattern of TFRecord files, or tfds:NAME:SPLIT. Empty: from the
                settings.
            output: Folder of the embeddings. Empty: RUN_DIR/embeddings.
            **settings: Settings of the collection, by flag name, such as embed_format.

        Returns:
            The folder of the embeddings.
        """
        paths = {"embed_input": os.fspath(source), "embed_output": os.fspath(output)}
        given_paths = {name: path for name, path in paths.items() if path}
        experiment = self._with(CollectionSettings, {**settings, **given_paths})
        with self._stage_of_export("embed", experiment, not experiment.collection.output):
            from dim_tf.stages.embed import embed_collection  # takes seconds

            return embed_collection(experiment)

    def curate(self, **settings: Any) -> "Curation":
        """Finds copies, outliers, doubtful labels and leaks among the images of the run's folder.

        Writes RUN_DIR/curate/*.csv and curate.html (docs/CURATE.md). The features are those of the
        run's newest export; each image is embedded only once. No file of the folder is changed.

        Args:
            **settings: Settings of the curation, by flag name, such as subset_size=200.

        Returns:
            All results; `summary()` has the counts, thresholds and rates.
        """
        experiment = self._with(CurationSettings, settings)
        with self._stage_of_export("curate", experiment):
            from dim_tf.stages.curate import curate  # takes seconds

            return curate(experiment)

    def anomaly(
        self, images: str | os.PathLike | Sequence[str | os.PathLike] = "", **settings: Any
    ) -> "Anomalies":
        """Scores images by how far they are from the normal ones, those of the run's folder.

        Writes RUN_DIR/anomaly/anomalies.csv, .json and .html, and writes the detector to
        EXPORT_DIR/NAME-detector (docs/PATCHES.md). The features are those of the run's newest
        export; each image is embedded only once.

        Args:
            images: A folder of images to score, or a list of folders. Empty: from the settings.
            **settings: Settings of the detection, by flag name, such as anomaly_false_alarms=0.01.

        Returns:
            Scores, alarms and heat maps of the images, and the detector.
        """
        given = {"anomaly_input": _folders("images", images)} if images else {}
        experiment = self._with(AnomalySettings, {**settings, **given})
        with self._stage_of_export("anomaly", experiment):
            from dim_tf.stages.anomaly import anomaly  # takes seconds

            return anomaly(experiment)

    def search(self, query: str | os.PathLike = "", **settings: Any) -> "list[QueryMatches]":
        """Finds the images of the run's folder that are most similar to the query images.

        With search_by="patch", finds the images that show a detail of the query (docs/PATCHES.md).

        Writes RUN_DIR/search/results.csv and search.html. The features are those of the run's
        newest export; each image is embedded only once.

        Args:
            query: An image, or a folder of images. Empty: from the settings.
            **settings: Settings of the search, by flag name, such as k=20, or search_by="patch" and
                query_box=(top, left, height, width) in pixels of the query.

        Returns:
            The matches of each query image, the most similar first.
        """
        given = {"query": _path("query", query)} if query else {}
        experiment = self._with(SearchSettings, {**settings, **given})
        with self._stage_of_export("search", experiment):
            from dim_tf.stages import search  # takes seconds

            results = search.search(experiment)
        if results.service:
            with self._process():  # without the lock: nothing more is written
                search.serve(experiment, results.service)
        return results.matches

    def compare(self) -> None:
        """Writes one page that compares the runs of the setting `runs`."""
        with self._process():
            from dim_tf.stages.compare import compare_runs  # takes seconds

            compare_runs(self.experiment)

    def _with(self, group, settings):
        """The experiment with other settings of one group."""
        for name in settings:
            if name not in group.flags():
                raise InputError(
                    f"{name} is no setting of this stage; it has {', '.join(group.flags())}"
                )
        return self.experiment.replace(**flag_values(settings))

    @property
    def encoder(self) -> keras.Model:
        """The trained encoder: images, float [N, H, W, C] in [0, 1] -> features [N, D].

        C is 3. For a folder of grey images C is 1. For data sets of arrays C is that of the arrays,
        which are not converted.

        The feature is that of an export: the one that `evaluate` chose, or that of the setting
        `feature`. The encoder has the weights of the newest checkpoint and is built again at each
        use. The images of the run must exist, because they give the image size; `dim_tf.load` needs
        only an export.
        """
        with self._process():
            from dim_tf.stages.export import exported_feature  # takes seconds

            experiment = plan.of_trained(self.experiment)
            model, step = load_trained(experiment, self._data)
            feature = exported_feature(experiment, step)
            scaling = self._data.scaling.to_dict() if self._data.scaling else None
            encoder = EncoderModel(
                model.encoder,
                feature.name,
                feature.max_features,
                self._data.input_channels,
                scaling,
            )
            encoder.build((None, *encoder.image_shape))
        return encoder

    @functools.cached_property
    def _data(self) -> Splits:
        """The images, loaded once."""
        return self._load(image_request(self.experiment))

    def _data_of_size(self, size: ImageSize) -> Splits:
        """The images in that size unless --image_size gives one; 0: the data set's default."""
        if self.experiment.data.image_size or not size:
            return self._data
        frame = ImageFrame.of(size)
        if "_data" in self.__dict__ and self._data.image_shape[:2] == frame.shape[:2]:
            return self._data
        return self._load(dataclasses.replace(self.experiment.data.request, image_size=size))

    def _load(self, request: DataRequest) -> Splits:
        settings = self.experiment.data
        splits = data.load(settings.dataset, request)
        splits = validation_split.hold_out(splits, settings.validation_fraction)
        say(f"data: {splits.note}")
        return splits

    @functools.cached_property
    def _devices(self) -> tf.distribute.Strategy | None:
        """The strategy, if it must be created before the data; else None."""
        settings = self.experiment.training
        if settings.replicas:
            strategy.make_logical_cpus(settings.replicas)
        if settings.strategy != "multi_worker":
            return None
        return strategy.get(settings.strategy, 0, settings.cluster, settings.worker_timeout)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from writing to the run folder. Stages take the lock by themselves.

        Raises:
            InputError: Another process is writing to it.
        """
        devices = self._devices
        if not (devices is None or strategy.is_chief(devices)):
            yield
            return
        with self._locked_by_process():
            yield

    @contextlib.contextmanager
    def _locked_by_process(self) -> Iterator[None]:
        if self._is_locked:
            yield
            return
        with locked_folder(self.path, "--run_dir or --name"):
            self._is_locked = True
            try:
                yield
            finally:
                self._is_locked = False

    @contextlib.contextmanager
    def _stage(self, mode: str, experiment: Experiment) -> Iterator[tf.distribute.Strategy | None]:
        """The context of a stage that reads the data and the run folder; yields `_devices`."""
        preconditions.check(experiment, [mode])
        with self._process(), contextlib.ExitStack() as stack:
            devices = self._devices  # before the data, which use the CPU
            if mode != "export":
                stack.enter_context(self.locked())
            yield devices

    @contextlib.contextmanager
    def _stage_of_export(
        self, mode: str, experiment: Experiment, writes_run_folder: bool = True
    ) -> Iterator[None]:
        """The context of a stage that starts from an exported encoder, in one process."""
        preconditions.check(experiment, [mode])
        with self._process(), contextlib.ExitStack() as stack:
            if writes_run_folder:
                stack.enter_context(self._locked_by_process())
            yield

    @contextlib.contextmanager
    def _process(self) -> Iterator[None]:
        """Restores the process' state, silences output unless verbose, shortens memory errors."""
        with (
            process_state.preserved(),
            process_state.without_tensorflow_notices(),
            console.quiet(not self.verbose),
            _memory_errors_in_a_line(),
        ):
            yield


@contextlib.contextmanager
def _memory_errors_in_a_line() -> Iterator[None]:
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise RunError(
            f"the memory does not suffice ({reason(error)}); in training give a smaller "
            "--batch_size or --critic_units, or more --micro_batches; in evaluation fewer "
            "--measures"
        ) from error


def flag_values(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings in the form of flags: paths as text, lists of names joined by commas.

    A whole number becomes text if the flag is text, such as channels=1. A NumPy scalar becomes the
    Python number of exactly the same value, and an array a list of numbers.

    Args:
        settings: By flag name.
    """
    fields = all_fields()

    def as_flag(name, value):
        if isinstance(value, list | tuple):
            value = [_as_python(element) for element in value]
        value = value.tolist() if isinstance(value, np.ndarray) else _as_python(value)
        if type(value) is int and name in fields and kind_of(fields[name]) is str:
            return str(value)
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if isinstance(value, list | tuple) and value and all(isinstance(x, str) for x in value):
            return ",".join(value)
        return value

    return {name: as_flag(name, value) for name, value in settings.items()}


def _path(name: str, value: Any) -> str:
    """A path as text.

    Raises:
        InputError: The value is not a path.
    """
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"{name}={value!r}; expected one path")
    return os.fspath(value)


def _folders(name: str, value: Any) -> str:
    """The path of one or more folders, in the form of the flag.

    Raises:
        InputError: The value is not a path or a list of paths.
    """
    if isinstance(value, list | tuple):
        return join_folders(name, [_path(name, path) for path in value])
    return _path(name, value)


def _as_python(value: Any) -> Any:
    """A NumPy scalar as the Python object of its value; none exists for a longer float."""
    return value.item() if isinstance(value, np.generic) else value
