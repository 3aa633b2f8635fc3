"""The images of a folder with their features or local maps, computed if they are missing."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dim_tf.collection import embed, embeddings, image_collection
from dim_tf.collection.embedded_images import EmbeddedImages
from dim_tf.collection.index import Index
from dim_tf.collection.patches.covered_part import covered_pixels
from dim_tf.collection.patches.stored_maps import StoredMaps
from dim_tf.data.folder import decoding
from dim_tf.data.folder.file_labels import label_files
from dim_tf.data.folder.image_folders import ImageFolders, open_folders
from dim_tf.data.image_frame import ImageFrame
from dim_tf.experiment import Experiment
from dim_tf.export.local_maps import LOCAL
from dim_tf.settings.export import AUTO
from dim_tf.system.console import say
from dim_tf.system.errors import InputError

_FINGERPRINT = 12  # digits of a folder's name


def embed_folder(experiment: Experiment, encoder_path: Path) -> EmbeddedImages:
    """Embeds the images of a folder by an exported encoder, or reads the existing embeddings.

    The embeddings are in RUN_DIR/embeddings-FINGERPRINT, one folder for each content of the images'
    folder and each encoder, unless --embed_output names another one. A second call continues the
    first.

    Args:
        experiment: Its `data_dir` contains the images.
        encoder_path: One version of an export.

    Raises:
        InputError: The images or the encoder do not exist, or no image can be decoded.
        RunError: A file cannot be read or written.
    """
    folders = open_folders(experiment.data.data_dir)
    folder, origin = _embed(experiment, folders, encoder_path, AUTO, experiment.collection.output)
    ids, features = embeddings.read(folder)
    files = label_files(ids, folders, experiment.data.request)
    return EmbeddedImages(
        ids,
        features,
        read_image=lambda row: decoding.decode_preview(
            folders.path_of(ids[row]), max_pixels=experiment.data.max_pixels
        ),
        labels=files.labels,
        label_names=files.names,
        is_test=files.is_test,
        origin=origin,
    )


@dataclass(frozen=True)
class MappedImages:
    """Images of a folder and their local maps.

    Attributes:
        maps: The local maps, with the images' ids.
        path_of: Returns the file of an image, given its id.
        read_image: Returns the part of an image that its map covers, given its row; uint8 [h, w,
            3].
    """

    maps: StoredMaps
    path_of: Callable[[str], Path]
    read_image: Callable[[int], np.ndarray]


def map_folder(
    experiment: Experiment,
    folders: ImageFolders,
    encoder_path: Path,
    frame: ImageFrame,
    output: str = "",
) -> MappedImages:
    """Writes the local maps of the images of a folder, or reads the existing ones.

    They are in RUN_DIR/local-maps-FINGERPRINT, one folder for each content of the images' folder
    and each encoder, unless `output` names another one. A second call continues the first.

    Args:
        experiment: Its settings of data and of the collection.
        folders: Folders of the images.
        encoder_path: One version of an export.
        frame: What the encoder makes of an image.
        output: Folder of the local maps; empty: as described.

    Raises:
        InputError: The folder has no image that can be decoded, or the encoder has no local map.
        RunError: A file cannot be read or written.
    """
    maps = StoredMaps(_embed(experiment, folders, encoder_path, LOCAL, output)[0])
    max_pixels = experiment.data.max_pixels

    def read_image(row):
        path = folders.path_of(maps.ids[row])
        return covered_pixels(decoding.decode_preview(path, max_pixels=max_pixels), frame)

    return MappedImages(maps, folders.path_of, read_image)


def _embed(experiment, folders, encoder_path, feature, output) -> tuple[Path, str]:
    """The folder with the features of the images in folders, and what those are features of."""
    collection = image_collection.of_folders(folders, experiment.data.max_pixels)
    settings = experiment.collection
    origin = f"{collection.fingerprint} {embed.encoder_fingerprint(str(encoder_path))}"
    kind = "local-maps" if feature == LOCAL else "embeddings"
    name = f"{kind}-{hashlib.sha256(origin.encode()).hexdigest()[:_FINGERPRINT]}"
    folder = Path(output or experiment.run_path / name)
    summary = embed.embed(
        encoder_path, collection, folder, settings.format, settings.shard_size, feature
    )
    say(
        f"embed: {summary['images'] - summary['refused']:,} images by {encoder_path}, "
        f"{summary['refused']:,} cannot be decoded: {folder}"
    )
    return folder, origin


def open_index(images: EmbeddedImages, folder: Path) -> Index:
    """The index of the images' features, read from a folder or built there if it is missing.

    Args:
        images: Embedded images.
        folder: Folder of the index.

    Raises:
        InputError: A feature is not finite, or faiss-cpu is not installed.
        RunError: A file cannot be written.
    """
    try:
        return Index.load(folder, images.origin)
    except InputError as error:
        if (folder / "index.json").exists():
            say(f"index: {error}; it is made again")
    index = Index.build(images.features, images.ids, origin=images.origin)
    index.save(folder)
    return index
