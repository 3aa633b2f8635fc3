"""Makes a classifier from an exported encoder and labels."""

from pathlib import Path

import keras
import tensorflow as tf

from dim_tf.data.image_frame import ImageSize
from dim_tf.data.image_ids import image_ids
from dim_tf.data.splits import Splits
from dim_tf.experiment import Experiment
from dim_tf.export.classifier import ClassifierInfo, publish_classifier
from dim_tf.finetuning import classifier_files, source_encoder
from dim_tf.finetuning.comparison import FeaturePair
from dim_tf.finetuning.train_classifier import (
    check_labels,
    features_of,
    labelled_splits,
    train_classifier,
)
from dim_tf.stages.encoder_path import encoder_path
from dim_tf.stages.export_options import CHECKED_IMAGES, export_options, pixels_of
from dim_tf.system.console import say
from dim_tf.system.files import make_folder


def exported_image_size(experiment: Experiment) -> ImageSize:
    """The size of the images that the encoder of --mode=finetune takes; 0: unknown."""
    return source_encoder.image_size(encoder_path(experiment))


def finetune(experiment: Experiment, splits: Splits) -> Path:
    """Trains a classifier on an exported encoder and labels; measures and exports it.

    Writes CSV files, finetune.json and finetune.html into RUN_DIR/finetune, beside the checkpoints.

    Returns:
        The folder of the version.

    Raises:
        InputError: There are too few labels, the encoder does not take the images, or RUN_DIR holds
            another classifier.
        RunError: Training or the export failed, or a file cannot be written.
        Stopped: SIGTERM or SIGINT arrived; a checkpoint was saved.
    """
    keras.mixed_precision.set_global_policy("float32")
    tf.config.experimental.enable_tensor_float_32_execution(False)  # as in all training
    settings, seed = experiment.finetuning, experiment.training.seed
    check_labels(splits, settings, seed)
    train, test = labelled_splits(splits)
    if splits.report and source_encoder.is_of_run(experiment):
        splits.report.check(experiment.run_path)
    source = source_encoder.load(encoder_path(experiment), splits)
    counts = f"{len(train):,} labelled training images, {len(test) if test else 0:,} test images"
    say(f"finetune: {counts}, by {source.path}")
    references = {}
    if test is not None:
        encoders = source_encoder.reference_encoders(source, experiment, splits.train.images)
        references = {
            name: FeaturePair(
                *(features_of(encoder, source.exported_feature, x.images) for x in (train, test))
            )
            for name, encoder in encoders.items()
        }
    folder = experiment.run_path / "finetune"
    trained = train_classifier(
        source.encoder,
        source.feature,
        train,
        test,
        splits.label_names,
        settings,
        seed=seed,
        augmentation=experiment.augmentation,
        folder=folder,
        references=references,
    )
    for line in classifier_files.describe(trained.report):
        say(f"finetune: {line}")
    make_folder(folder, "--run_dir")
    data = f"{counts}. {splits.note}"
    predictions = ""
    if test is not None and test.labels is not None and trained.probabilities is not None:
        predictions = classifier_files.predictions_csv(
            image_ids(test.images), trained.probabilities, test.labels, splits.label_names
        )
    classifier_files.write_results(trained.report, folder, experiment.name, data, predictions)
    say(f"finetune: {folder / classifier_files.PAGE_FILE}")
    checked = test or train
    own = settings.values() | {"seed": seed, "augmentation": experiment.augmentation}
    info = ClassifierInfo(
        source.card_info(experiment.export.license, experiment.export.card_note, own),
        data,
        trained.report,
    )
    target, difference = publish_classifier(
        source.encoder,
        trained.head,
        Path(experiment.export.export_dir) / f"{experiment.name}-classifier",
        pixels_of(checked.images[:CHECKED_IMAGES], splits),
        info,
        export_options(experiment, splits, source.feature),
    )
    say(f"finetune: {target} (largest difference from the Keras model {difference:.1e})")
    return target
