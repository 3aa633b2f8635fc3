"""Anyone's images: all image files below a folder, with or without labels.

docs/DATA.md states the rules.
"""

from collections.abc import Sequence

import numpy as np

from dim_tf.data import DataRequest, pixel_range
from dim_tf.data.channel_scaling import ChannelScaling
from dim_tf.data.folder import contrast, report
from dim_tf.data.folder.decoded_cache import DecodedCache
from dim_tf.data.folder.image_folders import open_folders
from dim_tf.data.folder.images import FolderImages, ImageFiles, ScaledImages
from dim_tf.data.folder.inspection import ARRAY_BITS
from dim_tf.data.folder.kinds import of_one_kind
from dim_tf.data.folder.report import FolderReport
from dim_tf.data.folder.scan import cache_error, scan_folders
from dim_tf.data.folder.split import MIN_IMAGES, FolderSplit, split_images
from dim_tf.data.folder.split_check import check_split
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.image_headers import FORMATS
from dim_tf.data.splits import Split, Splits
from dim_tf.system import user_cache
from dim_tf.system.console import say
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_write_text

SIZES = (32, 64)  # the default sizes: those of the encoders
LARGER_SIZES = (*SIZES, 96, 128)  # those for an encoder that takes images of any size
# Images whose short side is less than this fraction of a size get a smaller size.
MIN_SIDE_FRACTION = 0.75
MAX_LOW_CONTRAST = 0.5  # a larger fraction of images that show almost nothing is an error


def load(request: DataRequest) -> Splits:
    """The images below one or more folders.

    Args:
        request: Its `data_dir` is the folder, or several folders separated by commas.

    Raises:
        InputError: The folder does not exist or has too few images; too many of its files are
            unreadable or show nothing; there is no room for the decoded images; its folders are not
            those that `split` or `labels` need; or it has no images to which `pixel_range` applies.
    """
    requested_range = pixel_range.parse(request.pixel_range)
    folders = open_folders(request.data_dir)
    cache = user_cache.folder(request.cache_dir)
    manifest = of_one_kind(scan_folders(folders, cache, request.max_pixels), request.channels)
    split = split_images(request, manifest, folders)
    images = manifest.select(split.indices)
    is_16_bits = images.bits == 16
    auto_range = contrast.range_of(images.lows[is_16_bits], images.highs[is_16_bits])
    chosen_range = requested_range or auto_range
    low_contrast = contrast.is_low_contrast(images.bits, images.lows, images.highs, chosen_range)
    sizes = LARGER_SIZES if request.any_size else SIZES
    size = request.image_size or default_size(images.image_sizes, sizes)
    frame = ImageFrame.of(size, _channels(request, folders, images), request.fit)
    summary = {
        **split.counts,
        "image_size": frame.size,
        "fit": frame.fit,
        "channels": frame.channels,
        "images_of_16_bits": int(is_16_bits.sum()),
        "pixel_range": [chosen_range.low, chosen_range.high] if is_16_bits.any() else None,
        "low_contrast": int(low_contrast.sum()),
        **report.count_files(manifest, split.duplicates),
    }
    low_contrast_names = [images.names[index] for index in np.flatnonzero(low_contrast)]
    lines = (
        *report.bad_image_lines(manifest, split.duplicates),
        *report.low_contrast_lines(low_contrast_names),
    )
    _check_files(request, folders, cache, summary, lines)
    check_split(split, str(folders))
    are_arrays = bool((images.bits == ARRAY_BITS).any())
    if are_arrays and request.pixel_range == pixel_range.DTYPE:
        raise InputError(
            f"--pixel_range=dtype takes effect on 16-bit images only, and {folders} has arrays; "
            "give LOW,HIGH, or leave it out"
        )
    has_range = are_arrays or is_16_bits.any()
    if request.pixel_range not in (pixel_range.AUTO, pixel_range.DTYPE) and not has_range:
        raise InputError(
            f"--pixel_range={request.pixel_range} takes effect on 16-bit images and arrays only, "
            f"and {folders} has none; leave it out"
        )
    if low_contrast.sum() > MAX_LOW_CONTRAST * len(images):
        listed = _list_files(folders, cache, lines)
        suggestion = auto_range if (low_contrast & is_16_bits).any() else None
        raise _low_contrast_error(folders, summary, listed, suggestion)
    files = ImageFiles(
        folders,
        images.names,
        images.digests,
        frame,
        chosen_range,
        request.max_pixels,
        are_arrays,
    )
    keys = files.cache_keys(images.bits, images.image_sizes)
    cached = DecodedCache(cache / "images", request.cache_gib).open(
        keys, frame.shape, files.decode, files.dtype
    )
    if len(cached) < len(images):
        say(
            f"data: {len(cached):,} of {len(images):,} decoded images fit into --cache_gib="
            f"{request.cache_gib:g}; the others are decoded each time"
        )
    folder_images, scaling = FolderImages(cached, files), None
    if are_arrays:
        training = folder_images.subset(split.test_count, len(images))
        scaling = _scaling(requested_range, training)
        summary["value_ranges"] = scaling.to_dict()
    return _make_splits(
        split,
        ScaledImages(folder_images, scaling) if scaling else folder_images,
        note=report.describe(folders, frame, summary),
        report=FolderReport(
            folders,
            summary,
            lines,
            _sort_digests(images.pixel_digests),
            images.pixel_digests[: split.test_count],
        ),
        pixel_range=chosen_range,
        input_channels=frame.channels,
        scaling=scaling,
    )


def _scaling(requested_range, training):
    """How arrays are scaled: by the requested range, equal for all channels, or by their own."""
    if requested_range is None:
        return ChannelScaling.of_images(training)
    channels = training.shape[-1]
    return ChannelScaling(
        (float(requested_range.low),) * channels, (float(requested_range.high),) * channels
    )


def _make_splits(split: FolderSplit, images: FolderImages | ScaledImages, **fields) -> Splits:
    def part(start, stop, labels):
        part_labels = None if labels is None else labels[start:stop]
        return Split(images.subset(start, stop), part_labels, groups=split.groups[start:stop])

    tests, count = split.test_count, len(images)
    labelled = count - split.unlabelled_count  # the others come last
    return Splits(
        name="folder",
        train=part(tests, count, None if split.unlabelled_count else split.labels),
        test=part(0, tests, split.labels),
        label_names=split.label_names,
        labelled=part(tests, labelled, split.labels) if split.unlabelled_count else None,
        **fields,
    )


def _channels(request, folders, images):
    """The number of channels that all images get."""
    if len(images) and images.bits[0] == ARRAY_BITS:
        channels = int(images.channels[0])
        if request.channels not in ("auto", str(channels)):
            raise InputError(
                f"--channels={request.channels}: the arrays in {folders} have {channels}; give "
                f"--channels={channels}, or leave it out"
            )
        return channels
    if request.channels == "auto":
        return 1 if len(images) and (images.channels == 1).all() else 3
    channels = int(request.channels)
    if channels not in (1, 3):
        raise InputError(
            f"--channels={channels}: the images in {folders} have 1 or 3 channels; give 1 or 3, or "
            "leave it out"
        )
    return channels


def _sort_digests(digests):
    numbers = np.ascontiguousarray(digests).view(">u8")
    return digests[np.lexsort((numbers[:, 1], numbers[:, 0]))]


def default_size(image_sizes: np.ndarray, sizes: Sequence[int] = SIZES) -> int:
    """Pixels a side: the largest size to which most images are reduced.

    Args:
        image_sizes: int [N, 2].
        sizes: Sizes to choose from, ascending.
    """
    short = np.median(image_sizes.min(axis=1)) if len(image_sizes) else 0
    return max((size for size in sizes if short >= MIN_SIDE_FRACTION * size), default=sizes[0])


def _check_files(request, folders, cache, summary, lines):
    """Raises InputError if too many files are bad, or too few are left; lists the bad ones."""
    bad = sum(summary["unreadable"].values())
    is_bad = bad > request.max_unreadable_fraction * summary["image_files"]
    is_small = summary["images"] < MIN_IMAGES
    listed = _list_files(folders, cache, lines) if bad and (is_bad or is_small) else ""
    if is_bad:
        raise InputError(
            f"{bad:,} of {summary['image_files']:,} image files in {folders} cannot be read, more "
            f"than --max_unreadable_fraction={request.max_unreadable_fraction:g} of them (most "
            f"often: {max(summary['unreadable'], key=summary['unreadable'].get)}); {listed}: "
            "mend or remove them, or give a larger --max_unreadable_fraction"
        )
    if is_small:
        suffix_counts = ", ".join(f"{n:,} {suffix}" for suffix, n in summary["other_files"].items())
        raise InputError(
            f"{folders} has {summary['images']} different image"
            f"{'s' * (summary['images'] != 1)}; at least {MIN_IMAGES} are "
            f"needed, of {', '.join(FORMATS)}"
            + (f" (there are also {suffix_counts})" if suffix_counts else "")
            + (f"; {bad} cannot be read, {listed}" if bad else "")
        )


def _list_files(folders, cache, lines):
    """Writes the list of bad files for an error; returns where it is.

    It is not in the run folder, which may belong to another run.
    """
    path = cache / report.BAD_IMAGES_FILE
    try:
        cache.mkdir(parents=True, exist_ok=True)
        atomic_write_text(path, "".join(lines))
    except OSError as error:
        raise cache_error(folders, cache, error) from error
    return f"they are listed in {path}"


def _low_contrast_error(folders, summary, listed, auto_range):
    """The error for a folder in which most images have low contrast.

    Args:
        folders: Folders of the images.
        summary: Content for data.json.
        listed: Where they are listed.
        auto_range: Range of the 16-bit images; None: they have 8 bits.
    """
    remedy = "remove them, or stretch their contrast"
    if auto_range:
        low, high = summary["pixel_range"]
        remedy = (
            f"of 16-bit images the values {low} to {high} become black to white: give "
            f"--pixel_range=LOW,HIGH by what they show (auto: {auto_range.low},{auto_range.high}), "
            "or remove them"
        )
    return InputError(
        f"{summary['low_contrast']:,} of {summary['images']:,} images in {folders} have almost no "
        f"contrast, fewer than {contrast.MIN_LEVELS} of 255 levels; {listed}; {remedy}"
    )
