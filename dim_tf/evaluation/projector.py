"""Files for TensorBoard's embedding projector: features to turn, search and zoom in the browser."""

import math
from pathlib import Path

import numpy as np
from google.protobuf import text_format
from PIL import Image
from tensorboard.plugins.projector import projector_config_pb2

from dim_tf.evaluation.excerpt import Excerpt
from dim_tf.evaluation.projection import ENDPOINT, IMAGES, thumbnails
from dim_tf.evaluation.representation import Representation
from dim_tf.system.files import atomic_replace, atomic_write_text, remove_temporary_files

TENSORS, METADATA, SPRITE = "tensors.tsv", "metadata.tsv", "sprite.png"
CONFIG = "projector_config.pbtxt"  # the name that the plug-in looks for


def shown(representation: Representation, images: int = IMAGES) -> Representation:
    """What `write` needs of it, which keeps the other features from staying in memory."""
    few = representation.test[ENDPOINT][:images].copy()  # a view would keep all
    return Representation({}, {ENDPOINT: few}, representation.splits)


def write(folder: Path, representation: Representation, images: int = IMAGES) -> None:
    """Writes the global feature of the first test images, with their labels and pictures.

    Args:
        folder: TensorBoard's log folder of the run; made if there is none.
        representation: what is shown.
        images: how many, at most.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_temporary_files(folder)
    features = representation.test[ENDPOINT][:images]
    pictures = thumbnails(representation.splits.test.images[:images])
    rows = ("\t".join(f"{number:.6g}" for number in row) for row in features)
    atomic_write_text(folder / TENSORS, "\n".join(rows) + "\n")
    atomic_write_text(folder / METADATA, _metadata(representation.splits, len(features)))
    with atomic_replace(folder / SPRITE) as temporary:
        _sprite(pictures).save(temporary, format="PNG")
    config = projector_config_pb2.ProjectorConfig()
    embedding = config.embeddings.add(
        tensor_name=f"{ENDPOINT} feature, test images",
        tensor_path=TENSORS,
        metadata_path=METADATA,
        tensor_shape=features.shape,
    )
    embedding.sprite.image_path = SPRITE
    embedding.sprite.single_image_dim.extend([pictures.shape[2], pictures.shape[1]])
    # Last: it tells of the others.
    atomic_write_text(folder / CONFIG, text_format.MessageToString(config))


def _metadata(splits: Excerpt, count: int) -> str:
    """A line of column names, which the plug-in expects of more than one column, and the rows."""
    if not splits.labelled:
        return "".join(f"{i}\n" for i in range(count))
    names = [" ".join(name.split()) for name in splits.label_names]
    labels = splits.test.labels[:count]
    if splits.has_classes:
        header, columns = ["label"], [[names[label]] for label in labels]
    else:
        header, columns = names, [[str(value) for value in row] for row in labels]
    lines = [[*row, str(i)] for i, row in enumerate(columns)]
    return "\n".join("\t".join(line) for line in [[*header, "image"], *lines]) + "\n"


def _sprite(images: np.ndarray) -> Image.Image:
    """The images [N, H, W, C], row by row in a square of ⌈√N⌉ a side, as the plug-in cuts it."""
    side = math.ceil(math.sqrt(len(images)))
    n, height, width, channels = images.shape
    cells = np.zeros((side * side, height, width, channels), np.uint8)
    cells[:n] = images
    sheet = cells.reshape(side, side, height, width, channels).swapaxes(1, 2)
    sheet = sheet.reshape(side * height, side * width, channels)
    return Image.fromarray(np.repeat(sheet, 3, axis=-1) if channels == 1 else sheet)
