"""Reads data sets of TensorFlow Datasets, with an error that says how to get a missing one."""

import contextlib
import difflib
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import tensorflow as tf

from dim_tf.data import Request, image_ops
from dim_tf.data.in_memory import collect
from dim_tf.data.splits import Split, Splits
from dim_tf.system.errors import InputError

ANSWER_SECONDS = 5
# What a server, or a proxy before it, says where a download has no chance.
_NO_USE = (407, 500, 502, 503, 504)


def load(name: str, title: str, request: Request, by_hand: str = "") -> Splits:
    """The splits `train` and `test` of a TFDS data set that has the features image and label.

    Args:
        name: of the TFDS data set.
        title: how people write it.
        request: which images of it.
        by_hand: as for `prepare`.

    Raises:
        InputError: there is no such data set, or its files are missing and could not be
            downloaded.
    """
    builder = prepare(find(name, request), request, by_hand)
    size = request.image_size

    def of(split):
        return read(builder, split, size, lambda example: example["label"])

    return Splits(
        name=name,
        train=of("train"),
        test=of("test"),
        label_names=tuple(builder.info.features["label"].names),
        note=f"{title} as TensorFlow Datasets has it, at {size}x{size} pixels.",
    )


def find(name: str, request: Request):
    """A TFDS builder; its files may still be missing.

    Args:
        name: of the TFDS data set, as NAME[/CONFIG][:VERSION].
        request: its `data_dir` is TFDS's folder; empty: TFDS's default.

    Raises:
        InputError: TFDS has none of that name, or there is no home folder, in which TFDS's is.
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
        wanted = name.partition("/")[0].partition(":")[0]
        known = tfds.list_builders(with_community_datasets=False)
        near = difflib.get_close_matches(wanted, known)
        raise InputError(
            f"TensorFlow Datasets has no {wanted!r}"
            + (f"; did you mean {' or '.join(near)}?" if near else "")
            + " Its names: https://www.tensorflow.org/datasets/catalog/overview"
        ) from error
    except Exception as error:  # a wrong config or version, or what the set's own code needs
        raise InputError(f"TensorFlow Datasets cannot make {name!r}: {_reason(error)}") from error


def prepare(builder, request: Request, by_hand: str = ""):
    """Puts a builder's files in place, where they are not.

    Args:
        builder: of `find`.
        request: says whether they may be downloaded.
        by_hand: what the error tells the user to do without a network; empty: what holds for any
            data set of TFDS.

    Returns:
        The builder.

    Raises:
        InputError: the files are missing and could not be downloaded.
    """
    if builder.is_prepared():
        return builder
    name, where = builder.name, builder.data_dir
    by_hand = by_hand or _by_hand(builder)
    if not request.download:
        raise InputError(f"{name} is not in {where} and --nodownload was given. {by_hand}")
    # TFDS would try for minutes.
    for url in _absent(builder):
        silent = unreachable(url)
        if silent:
            raise InputError(
                f"{name} is not in {where} and {urlsplit(url).netloc} cannot be reached "
                f"({silent}). {by_hand}"
            )
    try:
        builder.download_and_prepare()
    except Exception as error:  # TFDS passes on whatever its network and archive code raises
        raise InputError(
            f"{name} is not in {where} and its download failed ({_reason(error)}). {by_hand}"
        ) from error
    return builder


def read(
    builder,
    split: str,
    image_size: int,
    labels: Callable | None,
    fit: Callable = image_ops.fit,
    image: str = "image",
    features: dict | None = None,
) -> Split:
    """Reads a split into memory, in TFDS's order, whatever number of files it was written to.

    Args:
        builder: of `prepare`.
        split: its name, or a slice of it such as "train[:90%]".
        image_size: images are fitted to that many pixels a side.
        labels: a function from an example to its label tensor; None: no labels.
        fit: what brings an image to that size.
        image: name of the image feature, of 1 or 3 channels.
        features: the features that are decoded, as TFDS's PartialDecoding has them; None: all.

    Raises:
        InputError: the images do not fit into memory, or the files are damaged.
    """
    import tensorflow_datasets as tfds

    def parse(example):
        pixels = image_ops.to_bytes(fit(example[image], image_size))
        return (pixels,) if labels is None else (pixels, labels(example))

    try:
        examples = builder.as_dataset(
            split=split,
            shuffle_files=False,
            # One file after the other: the default takes 16 examples of each in turn.
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


def order(keys: Sequence[str | int], split: str) -> list[int]:
    """The rows in the order in which TFDS writes them: by the MD5 of the split's name and the key.

    So other copies of a data set can be read in the same order.

    Args:
        keys: of the examples, as the data set's TFDS builder gives them.
        split: the split's name.
    """
    digests = [hashlib.md5(f"{split}{key}".encode()).digest() for key in keys]
    return sorted(range(len(keys)), key=digests.__getitem__)


def unreachable(url: str) -> str:
    """Why a web server does not answer within `ANSWER_SECONDS`; empty: it does.

    The environment's proxies are used, as TFDS does.

    Args:
        url: an address on it, which is asked for without its contents.
    """
    import requests

    if not url.startswith("http"):
        return ""
    try:
        answer = requests.head(url, timeout=ANSWER_SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        return type(error).__name__
    return f"HTTP status {answer.status_code}" if answer.status_code in _NO_USE else ""


def _absent(builder) -> list[str]:
    """One address for each server of the files that TFDS would have to download."""
    root = Path(builder.data_dir_root) / "downloads"
    cached = set()
    for info in root.rglob("*.INFO") if root.is_dir() else ():
        # What cannot be read tells of no file, which then is asked for.
        with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
            cached |= set(json.loads(info.read_text(encoding="utf-8")).get("urls", ()))
    absent = {
        urlsplit(url).netloc: url
        for url, about in (builder.url_infos or {}).items()
        if url not in cached
        and not (about.filename and (root / "manual" / about.filename).exists())
    }
    return list(absent.values())


def _by_hand(builder):
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
