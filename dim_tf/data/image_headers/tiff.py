"""A TIFF's first directory: TIFF 6.0 and BigTIFF, http://bigtiff.org.

https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf
"""

import struct

from dim_tf.data.image_bounds import MAX_SCANS
from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_headers.header import MAX_XMP, Header, check_pixels
from dim_tf.data.image_headers.orientation import orientation_of

# A tile may be larger than a small image, but only up to this.
_TILE_PIXELS = 2**24
MAX_STRIPS = 2**17  # or tiles of 16 x 16 pixels, the smallest, of 2**25
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIPS, _ORIENTATION, _SAMPLES, _ROWS, _STRIP_BYTES, _PLANAR = 273, 274, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_JPEG_IN_TIFF = (6, 7)  # values of _COMPRESSION
_SAMPLE_FORMAT, _EXTRA, _COLOR_MAP, _JPEG_TABLES, _XMP = 339, 338, 320, 347, 700
# Tags that make pixels -> how many values an entry may have; all other tags are left out.
_TIFF_VALUES = {
    **dict.fromkeys((_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES), MAX_STRIPS),
    **dict.fromkeys((_WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _ROWS, _PLANAR), 1),
    **dict.fromkeys((_TILE_WIDTH, _TILE_HEIGHT), 1),
    **dict.fromkeys((266, 292, 293, 317, 332, 334, 512, 513, 514, 515, 531), 1),
    **dict.fromkeys((_BITS, _SAMPLE_FORMAT, _EXTRA), 99),
    **dict.fromkeys((517, 518, 519, 520, 521, 529, 530, 532), 16),
    **{_COLOR_MAP: 3 * 2**16, _JPEG_TABLES: 2**16},
}
_TIFF_TYPES = {
    **{1: "B", 2: "B", 3: "H", 4: "I", 5: "Q", 6: "B", 7: "B", 8: "H", 9: "I", 10: "Q"},
    **{11: "I", 12: "Q", 13: "I", 16: "Q", 17: "Q", 18: "Q"},
}
_PREDICTOR, _INTEGERS = 317, (1, 3, 4, 13, 16)
_FLOAT, _CMYK = 3, 5  # values of _SAMPLE_FORMAT and of _PHOTOMETRIC


class _Tiff:
    """The entries of a TIFF directory that make pixels; by default of the first directory."""

    def __init__(self, data: bytes, offset: int | None = None):
        self.data = data
        self.order = "<" if data[:2] == b"II" else ">"
        self.is_big = data[2:4] in (b"+\0", b"\0+")
        # Formats of a directory's count, of an entry, of an offset; the bytes of an inline value.
        self.formats = ("Q", "HHQ8s", "Q", 8) if self.is_big else ("H", "HHI4s", "I", 4)
        count_format, entry_format, offset_format, self.inline_bytes = self.formats
        if offset is None:
            (offset,) = self._unpack(offset_format, 8 if self.is_big else 4)
        (count,) = self._unpack(count_format, offset)
        begin = offset + struct.calcsize("<" + count_format)
        size = struct.calcsize("<" + entry_format)
        if count > 2**12:
            raise UndecodableError(Fault.TOO_MANY_SEGMENTS)
        if begin + count * size > len(data):
            raise UndecodableError(Fault.BROKEN)
        self.next_offset = begin + count * size
        self.entries: dict[int, tuple[int, int, bytes]] = {}
        self.orientation, self.xmp = 0, b""
        for index in range(count):
            tag, value_type, values, field = self._unpack(entry_format, begin + index * size)
            if value_type not in _TIFF_TYPES or tag in self.entries:
                continue
            if tag == _ORIENTATION and value_type == 3 and not self.orientation:
                (self.orientation,) = struct.unpack_from(self.order + "H", field)
            elif tag == _XMP and not self.xmp:
                self.xmp = self._content(value_type, min(values, MAX_XMP), field)
            elif tag in _TIFF_VALUES:
                if values > _TIFF_VALUES[tag]:
                    raise UndecodableError(Fault.TOO_MANY_SEGMENTS)
                self.entries[tag] = value_type, values, self._content(value_type, values, field)

    def _unpack(self, format_, offset):
        return struct.unpack_from(self.order + format_, self.data, offset)

    def _content(self, value_type, values, field):
        size = values * struct.calcsize("<" + _TIFF_TYPES[value_type])
        if size <= self.inline_bytes:
            return field[:size]
        (offset,) = struct.unpack(self.order + self.formats[2], field)
        content = self.data[offset : offset + size]
        if len(content) < size:
            raise UndecodableError(Fault.BROKEN)
        return content

    def next_directory(self) -> "_Tiff | None":
        """The next page."""
        offset_bytes = struct.calcsize("<" + self.formats[2])
        if self.next_offset + offset_bytes > len(self.data):
            return None
        (offset,) = self._unpack(self.formats[2], self.next_offset)
        return _Tiff(self.data, offset) if offset else None

    @property
    def pixel_kind(self) -> tuple:
        """Width, height, channels, bits and sample formats, which the pages of one image share."""
        return (
            self.value(_WIDTH),
            self.value(_HEIGHT),
            self.value(_SAMPLES, 1),
            set(self.values(_BITS, (1,))),
            set(self.values(_SAMPLE_FORMAT, (1,))),
        )

    def values(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The whole numbers of an entry."""
        if tag not in self.entries:
            return default
        value_type, values, content = self.entries[tag]
        if value_type not in _INTEGERS:
            raise UndecodableError(Fault.BROKEN)
        return struct.unpack(f"{self.order}{values}{_TIFF_TYPES[value_type]}", content)

    def value(self, tag: int, default: int = 0) -> int:
        """The only whole number of an entry, or its first."""
        return self.values(tag, (default,))[0]

    def rewrite(self, changes: dict[int, tuple[int, ...]]) -> bytes:
        """The file with a new directory after its end: the entries, some of them changed."""
        count_format, entry_format, offset_format, inline_bytes = self.formats
        entries = dict(self.entries)
        for tag, numbers in changes.items():
            value_type = 16 if self.is_big else 4
            packed = struct.pack(f"{self.order}{len(numbers)}{_TIFF_TYPES[value_type]}", *numbers)
            entries[tag] = value_type, len(numbers), packed
        first = len(self.data) + len(self.data) % 2
        head = self.data[: 8 if self.is_big else 4] + struct.pack(self.order + offset_format, first)
        directory = struct.pack(self.order + count_format, len(entries))
        entry_bytes = len(entries) * struct.calcsize("<" + entry_format)
        offset = first + len(directory) + entry_bytes + inline_bytes
        contents = []
        for tag, (value_type, values, content) in sorted(entries.items()):
            field = content.ljust(inline_bytes, b"\0")
            if len(content) > inline_bytes:
                field = struct.pack(self.order + offset_format, offset)
                contents.append(content + bytes(len(content) % 2))
                offset += len(contents[-1])
            directory += struct.pack(self.order + entry_format, tag, value_type, values, field)
        end = struct.pack(self.order + offset_format, 0)  # no other directory
        fill = bytes(first - len(self.data))
        return b"".join((head, self.data[len(head) :], fill, directory, end, *contents))


def holds_array(data: bytes, most: int) -> bool:
    """Whether a TIFF's pixels are numbers rather than shades, or have more channels than a picture.

    Args:
        data: The content of the file.
        most: Largest number of pages that are examined.
    """
    try:
        first = _Tiff(data)
        *_, samples, _, formats = first.pixel_kind
        has_many = samples > 4 and first.value(_PHOTOMETRIC) != _CMYK  # and transparency
        return formats == {_FLOAT} or has_many or count_pages(data, most) > 1
    except (struct.error, IndexError, UndecodableError):
        return False


def count_pages(data: bytes, most: int) -> int:
    """How many pages, from the first on, are channels of one image of 16 bits or floats.

    Args:
        data: The content of the file.
        most: Largest number of pages that are examined; a longer stack counts as one page.

    Raises:
        UndecodableError: A directory is broken.
        struct.error: The file is cut off.
    """
    first = _Tiff(data)
    *_, samples, bits, formats = first.pixel_kind
    if samples != 1 or not (bits == {16} or formats == {_FLOAT}):
        return 1
    page: _Tiff | None = first
    for count in range(most + 1):
        if page is None:
            return count
        if page.pixel_kind != first.pixel_kind:  # a preview, or another image
            return 1
        page = page.next_directory()
    return 1


def read(data: bytes, max_pixels: int) -> Header:
    """Like `image_headers.read`, for a TIFF."""
    tiff = _Tiff(data)
    width, height = tiff.value(_WIDTH), tiff.value(_HEIGHT)
    check_pixels(width, height, max_pixels)
    samples = tiff.value(_SAMPLES, 1)
    bits = tiff.values(_BITS, (1,))
    is_planar = tiff.value(_PLANAR, 1) == 2
    if not 1 <= samples <= 8:
        raise UndecodableError(Fault.UNSUPPORTED_PIXELS)
    if _TILE_WIDTH in tiff.entries:
        tile_width, tile_height = tiff.value(_TILE_WIDTH), tiff.value(_TILE_HEIGHT)
        columns, rows = -(-width // tile_width), -(-height // tile_height)
        if columns * rows * tile_width * tile_height > max(_TILE_PIXELS, 4 * width * height):
            raise UndecodableError(Fault.TOO_MANY_SEGMENTS)
        offsets, counts = _TILES, _TILE_BYTES
    else:
        columns, rows = 1, -(-height // min(tiff.value(_ROWS, height), height))
        offsets, counts = _STRIPS, _STRIP_BYTES
    segments = columns * rows
    if len(tiff.values(offsets)) > segments * (samples if is_planar else 1):
        raise UndecodableError(Fault.TOO_MANY_SEGMENTS)  # Pillow would decode each
    if tiff.value(_COMPRESSION, 1) in _JPEG_IN_TIFF:
        _check_jpegs_in_tiff(data, tiff.values(offsets), tiff.values(counts))
    xmp = b"" if 1 <= tiff.orientation <= 8 else tiff.xmp
    orientation = tiff.orientation if 1 <= tiff.orientation <= 8 else orientation_of(b"", xmp)
    photometric = tiff.value(_PHOTOMETRIC)
    is_16_bits = set(bits) == {16} and set(tiff.values(_SAMPLE_FORMAT, (1,))) == {1}
    header = Header("TIFF", b"", width, height, orientation, channels=samples)
    if is_16_bits and samples == 1 and photometric in (0, 1):
        rewritten = tiff.rewrite({_PHOTOMETRIC: (1,)})  # Pillow takes 0 for black either way
        return header._replace(data=rewritten, bits=16, inverted=photometric == 0)
    if is_16_bits and photometric == 2 and samples in (3, 4):
        if is_planar:  # Pillow would take the upper 8 bits, or bytes for pixels
            return header._replace(bits=16, planes=_planes(tiff, segments, offsets, counts))
        has_premultiplied = tiff.value(_EXTRA, 2) == 1
        return header._replace(data=tiff.rewrite({}), bits=8 if has_premultiplied else 16)
    if is_planar and max(bits) > 8:
        raise UndecodableError(Fault.UNSUPPORTED_PIXELS)
    return header._replace(data=tiff.rewrite({}))


def _check_jpegs_in_tiff(data, segment_offsets, lengths):
    """Limits strips or tiles that are JPEGs: each may be used once, with few scans in total."""
    if len(set(segment_offsets)) < len(segment_offsets) or sum(lengths) > 2 * len(data):
        raise UndecodableError(Fault.TOO_MANY_SEGMENTS)
    if data.count(b"\xff\xda") > len(segment_offsets) + MAX_SCANS:
        raise UndecodableError(Fault.TOO_MANY_SEGMENTS)


def _planes(tiff, segments, offsets, counts):
    """The first three channels, each as a gray image of its own."""
    segment_offsets, lengths = tiff.values(offsets), tiff.values(counts)
    if len(segment_offsets) < 3 * segments or len(lengths) < 3 * segments:
        raise UndecodableError(Fault.BROKEN)
    tiff.entries = {
        tag: entry for tag, entry in tiff.entries.items() if tag not in (_EXTRA, _SAMPLE_FORMAT)
    }
    changes = {_PHOTOMETRIC: (1,), _SAMPLES: (1,), _BITS: (16,), _PLANAR: (1,)}
    return tuple(
        tiff.rewrite(
            {
                **changes,
                offsets: segment_offsets[first : first + segments],
                counts: lengths[first : first + segments],
            }
        )
        for first in (0, segments, 2 * segments)
    )
