"""Fashion-MNIST (Xiao et al. 2017), from TensorFlow Datasets or from its four idx files."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from dim_tf.data import DataRequest, image_ops
from dim_tf.data.sources import idx, tfds_files
from dim_tf.data.sources.in_memory import collect
from dim_tf.data.splits import Split, Splits
from dim_tf.system.errors import InputError

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
SIDE = 28
IMAGES, LABELS = "{}-images-idx3-ubyte", "{}-labels-idx1-ubyte"
_PREFIXES = {"train": "train", "test": "t10k"}
_FOLDERS = ("", "FashionMNIST/raw")  # torchvision's is the second


def load(request: DataRequest) -> Splits:
    """Fashion-MNIST's 60,000 training and 10,000 test images.

    If `data_dir` has the four idx files, with or without .gz, they are read in TFDS's order: the
    images are the same either way.

    Raises:
        InputError: Files are missing or broken.
    """
    files = _files(request.data_dir)
    if not files:
        return tfds_files.load_labelled("fashion_mnist", "Fashion-MNIST", request)
    frame = request.frame
    return Splits(
        name="fashion_mnist",
        train=_read("train", files, frame),
        test=_read("test", files, frame),
        label_names=CLASSES,
        note=f"Fashion-MNIST from its idx files, at {frame} pixels.",
    )


def _files(data_dir):
    """The path of each of the four files; empty if there are none."""
    names = [
        pattern.format(prefix) for prefix in _PREFIXES.values() for pattern in (IMAGES, LABELS)
    ]
    if not data_dir:
        return {}
    candidates = [
        (name, Path(data_dir) / folder / (name + ending))
        for folder in _FOLDERS
        for name in names
        for ending in (".gz", "")
    ]
    files = {name: path for name, path in candidates if path.is_file()}
    missing = [name for name in names if name not in files]
    if files and missing:
        raise InputError(
            f"{data_dir} has idx files, but not {', '.join(missing)} (with or without .gz)"
        )
    return files


def _read(split, files, frame):
    prefix = _PREFIXES[split]
    images = idx.read_idx(files[IMAGES.format(prefix)], (None, SIDE, SIDE))
    labels = idx.read_idx(files[LABELS.format(prefix)], (len(images),))
    if labels.max() >= len(CLASSES):
        raise InputError(
            f"{files[LABELS.format(prefix)]} has label {labels.max()}; expected 0 to "
            f"{len(CLASSES) - 1}"
        )
    order = tfds_files.tfds_order(range(len(images)), split)
    pixels = tf.data.Dataset.from_tensor_slices(images[order][..., np.newaxis]).map(
        lambda image: (image_ops.to_uint8(image_ops.fit_image(image, frame)),),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return Split(collect(pixels, len(images)).images, labels[order].astype(np.int64))
