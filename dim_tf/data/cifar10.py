"""CIFAR-10 (Krizhevsky 2009), from TensorFlow Datasets."""

from dim_tf.data import Request, tfds_files
from dim_tf.data.splits import Splits

BY_HAND = (
    'Where there is a network, run `python -c "import tensorflow_datasets as tfds; '
    "tfds.load('cifar10', data_dir='FOLDER')\"`, then copy FOLDER here and give it as --data_dir."
)


def load(request: Request) -> Splits:
    """CIFAR-10's 50,000 training and 10,000 test images.

    Raises:
        InputError: the files are missing and could not be downloaded.
    """
    size = request.image_size
    builder = tfds_files.prepare("cifar10", request, BY_HAND)

    def read(split):
        return tfds_files.read(builder, split, size, lambda example: example["label"])

    return Splits(
        name="cifar10",
        train=read("train"),
        test=read("test"),
        label_names=tuple(builder.info.features["label"].names),
        note=f"CIFAR-10 as TensorFlow Datasets has it, at {size}x{size} pixels.",
    )
