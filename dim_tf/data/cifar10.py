"""CIFAR-10 (Krizhevsky 2009), from TensorFlow Datasets."""

from dim_tf.data import tfds_files
from dim_tf.data.splits import Splits

BY_HAND = (
    'Where there is a network, run `python -c "import tensorflow_datasets as tfds; '
    "tfds.load('cifar10', data_dir='FOLDER')\"`, then copy FOLDER here and give it as --data_dir."
)


def load(data_dir: str, image_size: int, download: bool) -> Splits:
    """CIFAR-10's 50,000 training and 10,000 test images.

    Raises:
        InputError: the files are missing and could not be downloaded.
    """
    builder = tfds_files.prepare("cifar10", data_dir, download, BY_HAND)

    def read(split):
        return tfds_files.read(builder, split, image_size, lambda example: example["label"])

    return Splits(
        name="cifar10",
        train=read("train"),
        test=read("test"),
        label_names=tuple(builder.info.features["label"].names),
        note=f"CIFAR-10 as TensorFlow Datasets has it, at {image_size}x{image_size} pixels.",
    )
