"""Reads data sets of TensorFlow Datasets; an error says how to get a missing one."""

import contextlib
import difflib
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import tensorflow as tf

from dim_tf.data import DataRequest, image_ops
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.sources.in_memory import collect
from dim_tf.data.splits import Split, Splits
from dim_tf.system.errors import InputError

TIMEOUT_SECONDS = 5
# HTTP status of a server, or of a proxy before it, from which no download can succeed.
_FAILURES = (407, 500, 502, 503, 504)


def load_labelled(name: str, title: str, request: DataRequest, manual_download: str = "") -> Splits:
    """The splits `train` and `test` of a TFDS data set that has the features image and label.

    Args:
        name: Name of the TFDS data set.
        title: Title for the note.
        request: The requested images.
        manual_download: As for `prepare`.

    Raises:
        InputError: The data set does not exist, or its files are missing and could not be
            downloaded.
    """
    builder = prepared_builder(name, request, manual_download)
    frame = request.frame

    def read_labelled(split):
        return read_split(builder, split, frame, lambda example: example["label"])

    return Splits(
        name=name,
        train=read_labelled("train"),
        test=read_labelled("test"),
        label_names=tuple(builder.info.features["label"].names),
        note=f"{title} as TensorFlow Datasets has it, at {frame} pixels.",
    )


def find_builder(name: str, request: DataRequest):
    """A TFDS builder; its files may still be missing.

    Args:
        name: Name of the TFDS data set, as NAME[/CONFIG][:VERSION].
        request: Its `data_dir` is TFDS's folder; empty: TFDS's default.

    Raises:
        InputError: TFDS has no such data set, or there is no home folder to keep it in.
    """
    import tensorflow_datasets as tfds

    if not request.data_dir and "~" in Path(tfds.core.constants.DATA_DIR).parts:
        raise InputError(
            "this user has no home folder, in which TensorFlow Datasets keeps its data; give "
            "--data_dir, or set HOME"
        )

    try:
        return tfds.builder(name, data_dir=request.data_dir or None)
    except tfds.core.DatasetNotFoundError as error:
        base = name.partition("/")[0].partition(":")[0]
        known = tfds.list_builders(with_community_datasets=False)
        similar = difflib.get_close_matches(base, known)
        raise InputError(
            f"TensorFlow Datasets has no {base!r}"
            + (f"; did you mean {' or '.join(similar)}?" if similar else "")
            + " Its names: https://www.tensorflow.org/datasets/catalog/overview"
        ) from error
    except Exception as error:  # a wrong config or version, or a dependency of the builder
        raise InputError(f"TensorFlow Datasets cannot make {name!r}: {_reason(error)}") from error


def prepared_builder(name: str, request: DataRequest, manual_download: str = ""):
    """A TFDS builder whose files exist: `find_builder`, then `prepare`."""
    return prepare(find_builder(name, request), request, manual_download)


def prepare(builder, request: DataRequest, manual_download: str = ""):
    """Downloads and prepares a builder's files, unless they exist.

    Args:
        builder: Result of `find_builder`.
        request: Says whether they may be downloaded.
        manual_download: What the error advises without a network; empty: advice that fits any TFDS
            data set.

    Returns:
        The builder.

    Raises:
        InputError: The files are missing and could not be downloaded.
    """
    if builder.is_prepared():
        return builder
    name, where = builder.name, builder.data_dir
    manual_download = manual_download or _manual_download(builder)
    if not request.download:
        raise InputError(f"{name} is not in {where} and --nodownload was given. {manual_download}")
    # TFDS would retry for minutes.
    for url in _missing_urls(builder):
        failure = why_unreachable(url)
        if failure:
            raise InputError(
                f"{name} is not in {where} and {urlsplit(url).netloc} cannot be reached "
                f"({failure}). {manual_download}"
            )
    try:
        builder.download_and_prepare()
    except Exception as error:  # TFDS passes on whatever its network and archive code raises
        raise InputError(
            f"{name} is not in {where} and its download failed ({_reason(error)}). "
            f"{manual_download}"
        ) from error
    return builder


def read_split(
    builder,
    split: str,
    frame: ImageFrame,
    labels: Callable | None,
    fit: Callable = image_ops.fit_image,
    image: str = "image",
    features: dict | None = None,
) -> Split:
    """Reads a split into memory, in TFDS's order, whatever number of files it was written to.

    Args:
        builder: Result of `prepare`.
        split: Its name, or a slice of it such as "train[:90%]".
        frame: What an image becomes.
        labels: A function from an example to its label tensor; None: no labels.
        fit: A function from an image and the frame to the fitted image.
        image: Name of the image feature, with 1 or 3 channels.
        features: The features to decode, in the form of TFDS's PartialDecoding; None: all.

    Raises:
        InputError: The images do not fit into memory, or the files are damaged.
    """
    import tensorflow_datasets as tfds

    def parse(example):
        pixels = image_ops.to_uint8(fit(example[image], frame))
        return (pixels,) if labels is None else (pixels, labels(example))

    try:
        examples = builder.as_dataset(
            split=split,
            shuffle_files=False,
            # One file after another: the default takes 16 examples of each in turn.
            read_config=tfds.ReadConfig(interleave_cycle_length=1),
            decoders=None if features is None else tfds.decode.PartialDecoding(features),
        )
        parsed = examples.map(parse, num_parallel_calls=tf.data.AUTOTUNE)
        return collect(parsed, builder.info.splits[split].num_examples)
    except tf.errors.ResourceExhaustedError:  # of memory
        raise
    except tf.errors.OpError as error:
        raise InputError(
            f"the files of {builder.name} in {builder.data_dir} are damaged ({_reason(error)}); "
            "remove that folder and prepare the data set again"
        ) from error


def tfds_order(keys: Sequence[str | int], split: str) -> list[int]:
    """Indices in the order in which TFDS writes examples, for other copies of a data set.

    It sorts by the MD5 of the split's name and the key.

    Args:
        keys: Keys of the examples, as the data set's TFDS builder gives them.
        split: Name of the split.
    """
    digests = [hashlib.md5(f"{split}{key}".encode()).digest() for key in keys]
    return sorted(range(len(keys)), key=digests.__getitem__)


def why_unreachable(url: str) -> str:
    """Why a web server does not answer within `TIMEOUT_SECONDS`; empty if it does.

    The environment's proxies are used, as in TFDS.

    Args:
        url: An address on the server, to which a HEAD request is sent.
    """
    import requests

    if not url.startswith("http"):
        return ""
    try:
        response = requests.head(url, timeout=TIMEOUT_SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        return type(error).__name__
    return f"HTTP status {response.status_code}" if response.status_code in _FAILURES else ""


def _missing_urls(builder) -> list[str]:
    """One URL per server of the files that TFDS would have to download."""
    root = Path(builder.data_dir_root) / "downloads"
    cached = set()
    for info in root.rglob("*.INFO") if root.is_dir() else ():
        # A file without a readable record counts as missing.
        with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
            cached |= set(json.loads(info.read_text(encoding="utf-8")).get("urls", ()))
    missing = {
        urlsplit(url).netloc: url
        for url, info in (builder.url_infos or {}).items()
        if url not in cached and not (info.filename and (root / "manual" / info.filename).exists())
    }
    return list(missing.values())


def _manual_download(builder):
    name = builder.name
    text = (
        "By hand: where there is a network, run "
        f"`python -c \"import tensorflow_datasets as tfds; tfds.load('{name}', "
        "data_dir='FOLDER')\"`, then copy FOLDER here and give it as --data_dir"
    )
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        return text + f"; it asks there for: {_one_line(builder.MANUAL_DOWNLOAD_INSTRUCTIONS)}"
    return text + "."


def _reason(error):
    return f"{type(error).__name__}: {_one_line(error)[:200]}"


def _one_line(text):
    return " ".join(str(text).split())
