"""Why a file cannot be used as an image."""

import enum

from dim_tf.data.image_bounds import MAX_BYTES, MAX_SIDE

MIN_SIDE = 8  # pixels; smaller images show nothing


class Fault(enum.IntEnum):
    """Why a file cannot be used as an image. The numbers are kept in manifests."""

    NONE = 0
    OTHER = 1  # no image by its name and its first bytes
    UNREADABLE = 2
    EMPTY = 3
    NOT_AN_IMAGE = 4
    BROKEN = 5
    TOO_MANY_PIXELS = 6
    UNSUPPORTED_PIXELS = 7
    TINY = 8
    TOO_MANY_BYTES = 9
    TOO_MANY_SEGMENTS = 10
    NO_HEIF = 11
    NO_AVIF = 12
    NO_JPEG2000 = 13
    CHANGED = 14
    UNSUPPORTED_FORMAT = 15
    NOT_FINITE = 16
    NO_IMAGECODECS = 17
    OTHER_KIND = 18

    @property
    def description(self) -> str:
        """The fault as text."""
        return _DESCRIPTIONS[self]

    @property
    def is_bad(self) -> bool:
        """Whether the file is meant to be an image but cannot be used as one."""
        return self not in (Fault.NONE, Fault.OTHER, Fault.TINY, Fault.CHANGED)


_DESCRIPTIONS = {
    Fault.NONE: "",
    Fault.OTHER: "another kind of file",
    Fault.UNREADABLE: "cannot be opened",
    Fault.EMPTY: "empty file",
    Fault.NOT_AN_IMAGE: "not an image",
    Fault.BROKEN: "broken or cut off",
    Fault.TOO_MANY_PIXELS: (
        f"too large: more pixels than --max_pixels allows, or {MAX_SIDE:,} a side"
    ),
    Fault.UNSUPPORTED_PIXELS: "unsupported pixels, such as whole numbers of 32 bits",
    Fault.TINY: f"tiny: less than {MIN_SIDE} pixels high or wide",
    Fault.TOO_MANY_BYTES: f"too large: more than {MAX_BYTES:,} bytes",
    Fault.TOO_MANY_SEGMENTS: (
        "not decoded: more scans, segments, chunks or tiles than an image needs"
    ),
    Fault.NO_HEIF: "HEIC, which needs the package pillow-heif: pip install 'dim_tf[heif]'",
    Fault.NO_AVIF: "AVIF, which this Pillow was built without: pip install -U pillow",
    Fault.NO_JPEG2000: "JPEG 2000, which this Pillow was built without: pip install -U pillow",
    Fault.CHANGED: "has changed since it was looked at",
    Fault.UNSUPPORTED_FORMAT: "an image format that is not read; convert it to PNG or JPEG",
    Fault.NOT_FINITE: "values that are not finite numbers",
    Fault.NO_IMAGECODECS: (
        "a TIFF whose compression needs the package imagecodecs: pip install imagecodecs"
    ),
    Fault.OTHER_KIND: (
        "of another kind than most: a picture among arrays, an array among pictures, or an array "
        "of other channels"
    ),
}


class UndecodableError(Exception):
    """A file cannot be used as an image, because of `fault`."""

    def __init__(self, fault: Fault):
        super().__init__(fault.description)
        self.fault = fault
