"""Ids of images: paths of files, also of a part of them; numbers of other data sets."""

from pathlib import Path

import numpy as np

from dim_tf.data.channel_scaling import ChannelScaling
from dim_tf.data.folder.image_folders import ImageFolders
from dim_tf.data.folder.images import FolderImages, ImageFiles, ScaledImages
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.image_ids import image_ids
from dim_tf.data.pixel_range import ALL_16_BITS
from dim_tf.data.validation_split import ImageSubset

NAMES = ["a/0.png", "a/1.png", "b/2.png"]


def test_files_have_their_paths_and_other_images_their_numbers():
    files = ImageFiles(
        ImageFolders((Path("photos"),), ("photos",)),
        NAMES,
        np.zeros((3, 16), np.uint8),
        ImageFrame(4, 4),
        ALL_16_BITS,
        1000,
    )
    photos = FolderImages(np.zeros((3, 4, 4, 3), np.uint8), files)
    assert image_ids(photos) == NAMES
    assert image_ids(ImageSubset(photos, np.array([2, 0]))) == [NAMES[2], NAMES[0]]
    assert image_ids(ScaledImages(photos, ChannelScaling((0.0,) * 3, (1.0,) * 3))) == NAMES
    assert image_ids(np.zeros((2, 4, 4, 3), np.uint8)) == ["0", "1"]
