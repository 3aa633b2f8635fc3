"""The group of every file in a folder, copies included, for the stages after the encoder.

Training leaves copies out (`split.split_images`); these stages see all files.
"""

import os
from collections.abc import Sequence

import numpy as np

from dim_tf.data import DataRequest, group_by
from dim_tf.data.folder.groups import group_images
from dim_tf.data.folder.image_folders import ImageFolders
from dim_tf.data.folder.partition import Partition
from dim_tf.data.folder.scan import scan_folders
from dim_tf.data.folder.split import deduplicate
from dim_tf.data.image_faults import Fault
from dim_tf.system import user_cache


def group_files(names: Sequence[str], folders: ImageFolders, request: DataRequest) -> np.ndarray:
    """The group of each file, by the rules of the test split, which `--group_by` chooses.

    Files with the same pixels are in one group, whatever the rule. A file that was not inspected,
    or that training cannot use, is a group by itself. Files are inspected once, for this and for
    training.

    Args:
        names: Names of N files, which start with the name of their folder if there are several.
            Bytes that are not UTF-8 are escaped with backslashes, as in `image_collection`.
        folders: Folders of the files.
        request: Its `group_by`, `cache_dir` and `max_pixels`.

    Returns:
        int64 [N].

    Raises:
        InputError: `group_by` does not fit the paths, or the cache cannot be written.
    """
    manifest = scan_folders(folders, user_cache.folder(request.cache_dir), request.max_pixels)
    distinct, duplicates = deduplicate(manifest)
    has_keys = request.group_by == group_by.FOLDER or group_by.parse(request.group_by) is not None
    # Near duplicates are searched among distinct images: copies would enlarge the sets, and
    # `group_images` treats large sets as chains of images of one kind.
    grouped = np.flatnonzero(manifest.faults == Fault.NONE) if has_keys else distinct
    partition = Partition(len(manifest))
    if len(grouped):
        numbers = group_images(request.group_by, manifest.select(grouped)).numbers
        partition.join(grouped, grouped[np.unique(numbers, return_index=True)[1]][numbers])
    copies, originals = list(duplicates), list(duplicates.values())
    partition.join(np.array(copies, np.int64), np.array(originals, np.int64))
    group_of = {
        os.fsencode(name).decode(errors="backslashreplace"): label
        for name, label in zip(manifest.names, partition.labels.tolist(), strict=True)
    }
    groups = np.array([group_of.get(name, -1) for name in names], np.int64)
    alone = groups < 0
    groups[alone] = groups.max(initial=-1) + 1 + np.arange(np.count_nonzero(alone))
    return groups
