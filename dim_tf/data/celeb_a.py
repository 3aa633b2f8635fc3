"""CelebA (Liu et al. 2015), from TensorFlow Datasets: faces with 40 attributes."""

import tensorflow as tf

from dim_tf.data import Request, tfds_files
from dim_tf.data.splits import Splits

BY_HAND = (
    "CelebA's server often refuses downloads for a day (a quota): try again later; or, where it "
    "works, run `python -c \"import tensorflow_datasets as tfds; tfds.load('celeb_a', "
    "data_dir='FOLDER')\"`, copy FOLDER here by hand and give it as --data_dir."
)


def load(request: Request) -> Splits:
    """CelebA's training and test images; the labels are its attributes, 0 or 1.

    The largest centred square (178x178 of 178x218 pixels) is resized to the wanted size.

    Raises:
        InputError: the files are missing and could not be downloaded.
    """
    builder = tfds_files.prepare("celeb_a", request, BY_HAND)
    size = request.image_size
    names = tuple(sorted(builder.info.features["attributes"]))

    def attributes(example):
        return tf.stack([tf.cast(example["attributes"][name], tf.int64) for name in names])

    return Splits(
        name="celeb_a",
        train=tfds_files.read(builder, "train", size, attributes),
        test=tfds_files.read(builder, "test", size, attributes),
        label_names=names,
        note=(
            "CelebA as TensorFlow Datasets has it, the centred square of each image resized to "
            f"{size}x{size} pixels; training and test split of the data set."
        ),
    )
