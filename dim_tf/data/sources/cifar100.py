"""CIFAR-100 (Krizhevsky 2009), from TensorFlow Datasets, with its 100 fine labels."""

from dim_tf.data import DataRequest
from dim_tf.data.sources import tfds_files
from dim_tf.data.splits import Splits


def load(request: DataRequest) -> Splits:
    """CIFAR-100's 50,000 training and 10,000 test images.

    Raises:
        InputError: The files are missing and could not be downloaded.
    """
    return tfds_files.load_labelled("cifar100", "CIFAR-100 (fine labels)", request)
