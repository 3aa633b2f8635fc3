"""Pictures or arrays: a folder's images are all of one kind."""

import dataclasses
from collections import Counter

import numpy as np

from dim_tf.data.folder.inspection import ARRAY_BITS
from dim_tf.data.folder.manifest import Manifest
from dim_tf.data.image_faults import Fault


def of_one_kind(manifest: Manifest, channels: str) -> Manifest:
    """A folder's files, in which those of another kind than most files have a fault.

    Pictures are one kind; arrays are another kind for each number of channels.

    Args:
        manifest: The files.
        channels: "auto"; or a number: if there are arrays with that many channels, they are the
            kind.
    """
    usable = np.flatnonzero(manifest.faults == Fault.NONE)
    # 0: a picture, whatever its channels.
    kinds = np.where(manifest.bits == ARRAY_BITS, manifest.channels, 0)
    counts = Counter(kinds[usable].tolist())
    if len(counts) < 2:
        return manifest
    kept = max(counts, key=lambda kind: (counts[kind], -kind))
    if channels != "auto" and counts[int(channels)]:
        kept = int(channels)
    faults = manifest.faults.copy()
    faults[usable[kinds[usable] != kept]] = Fault.OTHER_KIND
    return dataclasses.replace(manifest, faults=faults)
