"""Files for TensorBoard's embedding projector."""

import math
from pathlib import Path

import numpy as np
from google.protobuf import text_format
from PIL import Image
from tensorboard.plugins.projector import projector_config_pb2

from dim_tf.evaluation.evaluation_data import EvaluationData
from dim_tf.evaluation.measures.projection import ENDPOINT, MAX_IMAGES, thumbnails
from dim_tf.evaluation.representation import Representation
from dim_tf.system.files import atomic_replace, atomic_write_text, remove_temporary_files

TENSORS, METADATA, SPRITE = "tensors.tsv", "metadata.tsv", "sprite.png"
CONFIG = "projector_config.pbtxt"  # the name that the plug-in looks for


def reduce(representation: Representation, max_images: int = MAX_IMAGES) -> Representation:
    """Copies what `write` needs, so that the other features do not stay in memory."""
    features = representation.test[ENDPOINT][:max_images].copy()  # a view would keep all
    return Representation({}, {ENDPOINT: features}, representation.data)


def write(folder: Path, representation: Representation, max_images: int = MAX_IMAGES) -> None:
    """Writes the global feature of the first test images, with their labels and thumbnails.

    Args:
        folder: TensorBoard's log folder for the run; created if it is missing.
        representation: The features.
        max_images: Number of test images.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_temporary_files(folder)
    features = representation.test[ENDPOINT][:max_images]
    images = thumbnails(representation.data.test.images[:max_images])
    lines = ("\t".join(f"{number:.6g}" for number in feature) for feature in features)
    atomic_write_text(folder / TENSORS, "\n".join(lines) + "\n")
    atomic_write_text(folder / METADATA, _metadata(representation.data, len(features)))
    with atomic_replace(folder / SPRITE) as temporary:
        _sprite(images).save(temporary, format="PNG")
    config = projector_config_pb2.ProjectorConfig()
    embedding = config.embeddings.add(
        tensor_name=f"{ENDPOINT} feature, test images",
        tensor_path=TENSORS,
        metadata_path=METADATA,
        tensor_shape=features.shape,
    )
    embedding.sprite.image_path = SPRITE
    embedding.sprite.single_image_dim.extend([images.shape[2], images.shape[1]])
    # Last, because it refers to the others.
    atomic_write_text(folder / CONFIG, text_format.MessageToString(config))


def _metadata(data: EvaluationData, count: int) -> str:
    """A line of column names, which the plug-in expects if there are several, and the rows."""
    if not data.has_labels:
        return "".join(f"{i}\n" for i in range(count))
    names = [" ".join(name.split()) for name in data.label_names]
    labels = data.test.labels[:count]
    if data.has_classes:
        header, columns = ["label"], [[names[label]] for label in labels]
    else:
        header, columns = names, [[str(value) for value in row] for row in labels]
    lines = [[*row, str(i)] for i, row in enumerate(columns)]
    return "\n".join("\t".join(line) for line in [[*header, "image"], *lines]) + "\n"


def _sprite(images: np.ndarray) -> Image.Image:
    """The images [N, H, W, C], row by row in a square of ⌈√N⌉ a side, which the plug-in cuts up."""
    side = math.ceil(math.sqrt(len(images)))
    n, height, width, channels = images.shape
    cells = np.zeros((side * side, height, width, channels), np.uint8)
    cells[:n] = images
    sheet = cells.reshape(side, side, height, width, channels).swapaxes(1, 2)
    sheet = sheet.reshape(side * height, side * width, channels)
    return Image.fromarray(np.repeat(sheet, 3, axis=-1) if channels == 1 else sheet)
