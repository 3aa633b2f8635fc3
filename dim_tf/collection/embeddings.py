"""A folder of embeddings: embeddings.json, the shards and the lists of refused images."""

import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from dim_tf.collection import shard_formats
from dim_tf.export import saved_model
from dim_tf.export.local_maps import LOCAL
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_replace, atomic_write_text, sha256_of
from dim_tf.system.io_errors import reason, translate_write_errors
from dim_tf.system.json_files import json_with_checksum, read_json

MANIFEST_FILE = "embeddings.json"
_RECORDED_NAME = re.compile(r"(embeddings|refused)-\d{5,}\.(parquet|tfrecord|txt)")
EMBED_AGAIN = "embed the images again, into another --embed_output"


def read(folder: Path) -> tuple[list[str], np.ndarray]:
    """Reads the ids and the embeddings, float32 [N, D], that `embed` wrote to a folder.

    Raises:
        InputError: The folder has no embeddings, they are incomplete or damaged, or they are local
            maps.
    """
    if read_manifest(folder).get("feature") == LOCAL:
        raise InputError(
            f"{folder} holds local maps, and a vector for each image is needed; embed the images "
            "into another --embed_output, without --embed_feature=local"
        )
    shards = [read_shard(path, dimensions=1) for path in shard_paths(folder)]
    all_ids = [image_id for ids, _ in shards for image_id in ids]
    filled = [embeddings for ids, embeddings in shards if ids]
    if not filled:
        raise InputError(f"{folder} holds no embedding: every image was refused")
    sizes = sorted({embeddings.shape[1] for embeddings in filled})
    if len(sizes) > 1:
        raise InputError(f"the embeddings in {folder} have {sizes} numbers; {EMBED_AGAIN}")
    return all_ids, np.concatenate(filled)


def shard_paths(folder: Path) -> list[Path]:
    """The files of complete embeddings, in order.

    Raises:
        InputError: The folder has no embeddings, or they are incomplete or damaged.
    """
    manifest = read_manifest(folder)
    if not manifest.get("complete"):
        raise InputError(
            f"{folder} holds no complete embeddings; run --mode=embed --embed_output={folder} to "
            "its end"
        )
    format_name = manifest.get("format")
    if not isinstance(format_name, str) or format_name not in shard_formats.FORMATS:
        raise InputError(f"{folder / MANIFEST_FILE} has the format {format_name!r}; {EMBED_AGAIN}")
    digests = recorded_digests(folder)
    for name, digest in digests.items():
        if not _has_digest(folder / name, digest):
            raise InputError(
                f"{folder / name} is missing or not as it was written; run --mode=embed "
                f"--embed_output={folder} again, which makes it again"
            )
    paths = [folder / name for name in digests] or folder.glob("*")
    return [path for path in sorted(paths) if path.match(f"embeddings-*.{format_name}")]


def read_shard(path: Path, dimensions: int) -> tuple[list[str], np.ndarray]:
    """Reads one file of embeddings.

    Args:
        path: Path of the file.
        dimensions: 1: vectors are expected; 3: local maps.

    Returns:
        The ids, and float32 [N, D] or float16 [N, H, W, D].

    Raises:
        InputError: The file holds something else.
    """
    kind = np.float32 if dimensions == 1 else np.float16
    try:
        ids, embeddings = shard_formats.FORMATS[path.suffix[1:]].read(path)
        if not all(isinstance(image_id, str) for image_id in ids):
            raise ValueError("an id is no text")
        with np.errstate(over="ignore"):
            embeddings = embeddings.astype(kind, casting="same_kind", copy=False)
        fits = not len(ids) or embeddings.ndim == 1 + dimensions
        if not fits or len(ids) != len(embeddings) or not np.isfinite(embeddings).all():
            raise ValueError(
                f"no numbers that are finite as {np.dtype(kind).name}, as many for each id"
            )
    except Exception as error:  # of Parquet's, Arrow's, Protobuf's and TensorFlow's readers
        raise InputError(f"{path} holds no embeddings ({reason(error)}); {EMBED_AGAIN}") from error
    return ids, embeddings


def check_encoder(folder: Path, variables: Iterable[Any], feature: str) -> None:
    """Checks that the embeddings in a folder are a feature of the encoder with these variables.

    Args:
        folder: Folder of the embeddings.
        variables: Variables of the encoder.
        feature: Name of the feature.

    Raises:
        InputError: They come from other weights or another feature, so that similarities to them
            mean nothing.
    """
    manifest = read_manifest(folder)
    if manifest.get("weights_fingerprint") != saved_model.weights_fingerprint(variables):
        raise InputError(
            f"the embeddings in {folder} were made by {manifest.get('saved_model')}, which is an "
            "encoder of other weights; embed the images by an export of this run"
        )
    if manifest.get("feature") != feature:
        raise InputError(
            f"the embeddings in {folder} are the feature {manifest.get('feature')!r}, and the "
            f"export is to give {feature!r}; embed the images by an export with --feature={feature}"
            ", or export with the --feature of the embeddings"
        )


def check_same_origin(folder: Path, origin: dict[str, Any]) -> None:
    """Checks that the embeddings in a folder, if any, come from the same encoder and collection.

    Args:
        folder: Folder of the embeddings.
        origin: What embeddings.json is to record: collection, saved_model, the fingerprint of each,
            feature, format and shard_size.

    Raises:
        InputError: They were started with something else, or the file cannot be read.
    """
    manifest = read_manifest(folder) or origin
    differences = [
        f"{key}: {manifest.get(key)!r} -> {origin[key]!r}"
        for key in ("feature", "format", "shard_size")
        if manifest.get(key) != origin[key]
    ] + [
        f"{key}: the content of {manifest.get(key)} -> that of {origin[key]}"
        for key in ("collection", "saved_model")
        if manifest.get(f"{key}_fingerprint") != origin[f"{key}_fingerprint"]
    ]
    if differences:
        raise InputError(
            f"{folder} holds embeddings of something else ({'; '.join(differences)}); give "
            "what they were started with, or another --embed_output"
        )


def read_manifest(folder: Path) -> dict[str, Any]:
    """The content of embeddings.json; empty if there is none.

    Raises:
        InputError: It cannot be read.
    """
    path = folder / MANIFEST_FILE
    return read_json(path, EMBED_AGAIN) if path.exists() else {}


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Replaces embeddings.json.

    Raises:
        RunError: It cannot be written.
    """
    with _writing(folder / MANIFEST_FILE):
        atomic_write_text(folder / MANIFEST_FILE, json_with_checksum(manifest))


def recorded_digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each shard and each list of refused images in embeddings.json, by file name.

    Raises:
        InputError: embeddings.json records other files.
    """
    digests = read_manifest(folder).get("files", {})
    if not isinstance(digests, dict) or not all(
        _RECORDED_NAME.fullmatch(name) and isinstance(digest, str)
        for name, digest in digests.items()
    ):
        raise InputError(f"{folder / MANIFEST_FILE} records files of other names; {EMBED_AGAIN}")
    return digests


def shard_path(folder: Path, format_name: str, shard: int) -> Path:
    """The file of a shard."""
    return folder / f"embeddings-{shard:05d}.{format_name}"


def _refused_path(path: Path) -> Path:
    return path.with_name(f"{path.stem.replace('embeddings', 'refused')}.txt")


def _has_digest(path: Path, digest: str) -> bool:
    return path.is_file() and sha256_of(path) == digest


def count_shards(folder: Path, format_name: str, digests: dict[str, str]) -> int:
    """How many shards were written; a recorded one counts even if it is missing by now."""
    shard = 0
    while (path := shard_path(folder, format_name, shard)).exists() or path.name in digests:
        shard += 1
    return shard


def is_intact(path: Path, digests: dict[str, str], shard_size: int, dimensions: int = 1) -> bool:
    """Whether a shard and its list of refused images are as they were written.

    A shard that is not recorded, because the process was killed before, must be full; then its
    digests are added to `digests`. `dimensions` is that of `read_shard`.
    """
    refused = _refused_path(path)
    if path.name in digests:
        recorded = [file for file in (path, refused) if file.name in digests]
        return all(_has_digest(file, digests[file.name]) for file in recorded)
    try:
        ids, _ = read_shard(path, dimensions)
    except InputError:
        return False
    if len(ids) + _count_lines(refused) != shard_size:
        return False
    digests.update({file.name: sha256_of(file) for file in (path, refused) if file.exists()})
    return True


def write_shard(
    path: Path, ids: list[str], embeddings: np.ndarray, valid: np.ndarray
) -> dict[str, str]:
    """Writes the embeddings of the valid images, and beside them the ids of the others.

    Args:
        path: As from `shard_path`.
        ids: Ids of N images.
        embeddings: float32 [N, D] or float16 [N, H, W, D].
        valid: bool [N], whether the image could be decoded.

    Returns:
        The SHA-256 of each written file, by name.

    Raises:
        RunError: A file cannot be written.
    """
    refused_ids = [image_id for image_id, ok in zip(ids, valid, strict=True) if not ok]
    valid_ids = [image_id for image_id, ok in zip(ids, valid, strict=True) if ok]
    written = [path]
    with _writing(path):
        if refused_ids:  # before the embeddings, whose file says that the shard is done
            lines = "".join(image_id.replace("\n", "\\n") + "\n" for image_id in refused_ids)
            atomic_write_text(_refused_path(path), lines)
            written.append(_refused_path(path))
        with atomic_replace(path) as temporary:
            shard_formats.FORMATS[path.suffix[1:]].write(temporary, valid_ids, embeddings[valid])
        return {file.name: sha256_of(file) for file in written}


def count_images(folder: Path, format_name: str, shards: int) -> dict[str, int]:
    """The numbers of all images and of refused images in the first `shards` shards."""
    refused = sum(_count_lines(path) for path in folder.glob("refused-*.txt"))
    count = shard_formats.FORMATS[format_name].count
    embedded = sum(count(shard_path(folder, format_name, shard)) for shard in range(shards))
    return {"images": embedded + refused, "refused": refused}


def _count_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").split("\n")) - 1 if path.exists() else 0


def _writing(path: Path) -> AbstractContextManager[None]:
    return translate_write_errors(
        str(path), path.parent, "the files before are whole; make room and call again to go on"
    )
