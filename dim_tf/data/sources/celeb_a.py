"""CelebA (Liu et al. 2015): faces with 40 attributes, from TFDS or from its authors' files."""

from pathlib import Path

import tensorflow as tf

from dim_tf.data import DataRequest
from dim_tf.data.sources import celeb_a_files, tfds_files
from dim_tf.data.splits import Splits

MANUAL_DOWNLOAD = (
    "CelebA's server often refuses downloads for a day (a quota). By hand: give as --data_dir a "
    "folder with img_align_celeba.zip (or its folder of images), list_attr_celeba.txt and "
    "list_eval_partition.txt, from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html; or a folder "
    "that TensorFlow Datasets made of them."
)


def load(request: DataRequest) -> Splits:
    """CelebA's training and test images; the labels are its attributes, 0 or 1.

    The images of 178x218 pixels are fitted to the requested size. If `data_dir` has a data set that
    TFDS prepared, it is read; else the authors' files there (`celeb_a_files`); else TFDS downloads
    them. All three give the same images, labels and order.

    Raises:
        InputError: Files are missing or broken, or could not be downloaded.
    """
    frame = request.frame
    is_prepared = request.data_dir and (Path(request.data_dir) / "celeb_a").is_dir()
    raw = None if is_prepared else celeb_a_files.find_files(request.data_dir)
    if raw:
        train, test = (raw.read_split(split, frame) for split in ("train", "test"))
        names = tuple(sorted(raw.attribute_names))
        origin = "from its authors' files"
    else:
        builder = tfds_files.prepared_builder("celeb_a", request, MANUAL_DOWNLOAD)
        names = tuple(sorted(builder.info.features["attributes"]))

        def attributes(example):
            return tf.stack([tf.cast(example["attributes"][name], tf.int64) for name in names])

        train, test = (
            tfds_files.read_split(builder, split, frame, attributes) for split in ("train", "test")
        )
        origin = "as TensorFlow Datasets has it"
    return Splits(
        name="celeb_a",
        train=train,
        test=test,
        label_names=names,
        note=(f"CelebA {origin}, {frame.description}; training and test split of the data set."),
    )
