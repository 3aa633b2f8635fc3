"""What is known about scored images: folders of normal images and of defects, and masks.

The folders are those of MVTec AD (https://www.mvtec.com/company/research/datasets/mvtec-ad):
test/good/000.png, test/DEFECT/000.png and ground_truth/DEFECT/000_mask.png, whose pixels above 0
belong to the defect.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from dim_tf.collection.patches.covered_part import covered_pixels
from dim_tf.data.folder import decoding
from dim_tf.data.folder.image_folders import ImageFolders
from dim_tf.data.image_faults import UndecodableError
from dim_tf.data.image_frame import ImageFrame
from dim_tf.settings.anomaly import NORMAL_NAMES
from dim_tf.system.errors import InputError
from dim_tf.system.io_errors import reason

MASKS_FOLDER = "ground_truth"  # beside the folder that is scored


@dataclass(frozen=True)
class KnownDefects:
    """What is known about N images.

    Attributes:
        rows: int64 [K], the images that are in a folder of a kind; nothing is known about the
            others.
        kinds: The folder of each of these.
        is_anomalous: bool [K], whether that is a folder of defects.
        masks: Files with masks of defects, by the row of the image.
    """

    rows: np.ndarray
    kinds: tuple[str, ...]
    is_anomalous: np.ndarray
    masks: dict[int, Path]


def find_known_defects(ids: Sequence[str], folders: ImageFolders) -> KnownDefects | None:
    """What the folders of images say about them; None if no folder is named as normal.

    The kind of an image is the name of the folder that it is in, below a scored folder. If several
    folders are scored, the kind of an image directly in one of them is the name of that folder.

    Args:
        ids: Ids of the images, relative paths with "/", as `folders` locates them.
        folders: The scored folders.
    """
    places = [_place(image_id, folders) for image_id in ids]
    rows = [row for row, place in enumerate(places) if place]
    kinds = [place[1].parts[0] for place in places if place]
    is_anomalous = np.array([kind.lower() not in NORMAL_NAMES for kind in kinds], bool)
    if is_anomalous.all():
        return None
    masks = {}
    for row, is_defect in zip(rows, is_anomalous, strict=True):
        folder, path = places[row] or (Path(), PurePosixPath())
        masks_folder = folder.parent / MASKS_FOLDER
        for name in (f"{path.stem}_mask.png", f"{path.stem}.png") if is_defect else ():
            mask = masks_folder / path.parent / name
            if row not in masks and mask.is_file():
                masks[row] = mask
    return KnownDefects(np.array(rows, np.int64), tuple(kinds), is_anomalous, masks)


def _place(image_id: str, folders: ImageFolders) -> tuple[Path, PurePosixPath] | None:
    """The folder of all kinds that an image is in, and the image's path below; None: no kind."""
    index, name = folders.locate(image_id)
    folder, path = folders.paths[index].resolve(), PurePosixPath(name)
    if len(path.parts) > 1:
        return folder, path
    if len(folders.paths) > 1:
        return folder.parent, folder.name / path
    return None


def read_masks(
    known: KnownDefects,
    ids: Sequence[str],
    path_of: Callable[[str], Path],
    frame: ImageFrame,
    max_pixels: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The masks as the encoder sees their images; normal images have an empty mask.

    Memory: h w bytes per mask.

    Args:
        known: What is known about the images.
        ids: Ids of all images.
        path_of: Returns the file of an image, given its id.
        frame: What the encoder makes of an image.
        max_pixels: A mask with more pixels is not decoded.

    Returns:
        int64 [M], the rows of normal images and of those with a mask, ascending, and bool [M, h, w]
        in the frame's size.

    Raises:
        InputError: A mask cannot be read, or has another size than its image.
    """
    rows = [
        int(row)
        for row, is_defect in zip(known.rows, known.is_anomalous, strict=True)
        if not is_defect or int(row) in known.masks
    ]
    masks = np.zeros((len(rows), frame.height, frame.width), bool)
    for number, row in enumerate(rows):
        path = known.masks.get(row)
        if path is not None:
            masks[number] = _read_mask(path, path_of(ids[row]), frame, max_pixels)
    return np.array(rows, np.int64), masks


def _read_mask(path, image_path, frame, max_pixels) -> np.ndarray:
    try:
        pixels = decoding.decode_preview(path, max_pixels=max_pixels, preview_pixels=max_pixels)
        size = decoding.upright_size(image_path, max_pixels=max_pixels)
    except (OSError, UndecodableError) as error:
        raise InputError(
            f"the mask {path} cannot be read ({reason(error)}); mend it, or move it away"
        ) from error
    if pixels.shape[:2] != size:
        raise InputError(
            f"the mask {path} has {pixels.shape[0]} x {pixels.shape[1]} pixels, its image "
            f"{size[0]} x {size[1]}; give a mask of the image's size, or move it away"
        )
    is_defect = covered_pixels(pixels.max(axis=2) > 0, frame)
    # A pixel belongs to the defect if at least half of its area does.
    resized = Image.fromarray(is_defect.astype(np.uint8) * 255).resize(
        (frame.width, frame.height), Image.Resampling.BOX
    )
    return np.asarray(resized) > 127
