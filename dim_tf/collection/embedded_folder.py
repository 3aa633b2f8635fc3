"""The images of --data_dir with their features, which are made where they are not there."""

import hashlib
from pathlib import Path

from dim_tf.collection import embed, embeddings, image_collection
from dim_tf.collection.embedded_images import EmbeddedImages
from dim_tf.collection.index import Index
from dim_tf.data.folder import decoding
from dim_tf.data.folder.file_labels import label_files
from dim_tf.data.folder.image_folders import open_folders
from dim_tf.experiment import Experiment
from dim_tf.system.console import say
from dim_tf.system.errors import InputError

_FINGERPRINT = 12  # digits of a folder's name


def embed_folder(experiment: Experiment, encoder_path: Path) -> EmbeddedImages:
    """Embeds the images of a folder by an exported encoder, or reads what is embedded already.

    The embeddings are in RUN_DIR/embeddings-FINGERPRINT, one folder for each content of the images'
    folder and each encoder, unless --embed_output names another. A second call continues the first.

    Args:
        experiment: Its `data_dir` has the images.
        encoder_path: One version of an export.

    Raises:
        InputError: There are no such images or encoder, or none of the images can be decoded.
        RunError: A file cannot be read or written.
    """
    folders = open_folders(experiment.data.data_dir)
    collection = image_collection.of_folders(folders, experiment.data.max_pixels)
    settings = experiment.collection
    origin = f"{collection.fingerprint} {embed.encoder_fingerprint(str(encoder_path))}"
    name = f"embeddings-{hashlib.sha256(origin.encode()).hexdigest()[:_FINGERPRINT]}"
    folder = Path(settings.output or experiment.run_path / name)
    summary = embed.embed(encoder_path, collection, folder, settings.format, settings.shard_size)
    say(
        f"embed: {summary['images'] - summary['refused']:,} images by {encoder_path}, "
        f"{summary['refused']:,} cannot be decoded: {folder}"
    )
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


def open_index(images: EmbeddedImages, folder: Path) -> Index:
    """The index of the images' features, as it is in a folder; made there where it is not.

    Args:
        images: Embedded.
        folder: Of the index.

    Raises:
        InputError: A feature is not finite, or faiss-cpu is missing.
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
