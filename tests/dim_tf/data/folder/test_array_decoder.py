"""Files whose values are numbers: .npy, and TIFFs that are no pictures."""

import io

import numpy as np
import pytest
import tifffile
from sample_arrays import values

from dim_tf.data import npy
from dim_tf.data.folder import array_decoder, decoding, inspection
from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.image_headers import FORMATS

MAX_PIXELS = 10_000


def tiff(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def stack(*pages):
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for page in pages:
            writer.write(page)
    return file.getvalue()


DEEP = values(1)
FLOATS = values(2, (20, 30, 1), np.float32)
ARRAYS = {
    "npy": (npy.to_bytes(DEEP), DEEP),
    "npy of one channel": (npy.to_bytes(FLOATS[..., 0]), FLOATS),
    "npy of doubles": (npy.to_bytes(FLOATS.astype(np.float64)), FLOATS),
    "npy of big-endian numbers": (npy.to_bytes(DEEP.astype(">u2")), DEEP),
    "floats": (tiff(FLOATS[..., 0]), FLOATS),
    "floats, deflated": (tiff(FLOATS[..., 0], compression="zlib"), FLOATS),
    "five channels": (tiff(DEEP, photometric="minisblack", planarconfig="contig"), DEEP),
    "five planes": (
        tiff(np.moveaxis(DEEP, -1, 0), photometric="minisblack", planarconfig="separate"),
        DEEP,
    ),
    "five pages": (stack(*np.moveaxis(DEEP, -1, 0)), DEEP),
    "five pages, BigTIFF": (tiff(np.moveaxis(DEEP, -1, 0), bigtiff=True), DEEP),
}
SHADES = np.arange(600, dtype=np.uint8).reshape(20, 30)
PICTURES = {
    "bytes": tiff(SHADES),
    "pages of bytes": stack(SHADES, SHADES),
    "RGB": tiff(np.stack([SHADES] * 3, -1), photometric="rgb"),
    "16 bits": tiff(DEEP[..., 0]),
    "16 bits and a preview": stack(DEEP[..., 0], DEEP[::2, ::2, 0]),
    "no TIFF": b"II*\0 and then nothing",
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_have_the_values_of_their_files(name):
    data, expected = ARRAYS[name]
    assert array_decoder.is_array(data)
    decoded = array_decoder.decode_array(data, MAX_PIXELS)
    assert decoded.dtype == expected.dtype
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_read_elsewhere(name):
    assert not array_decoder.is_array(PICTURES[name])


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (npy.to_bytes(DEEP)[:-1], Fault.BROKEN),
        (b"\x93NUMPY", Fault.BROKEN),
        (npy.to_bytes(np.zeros(30)), Fault.OTHER),
        (npy.to_bytes(np.zeros((9, 9, 3), np.int32)), Fault.UNSUPPORTED_PIXELS),
        (npy.to_bytes(np.zeros((9, 9, 100), np.uint8)), Fault.UNSUPPORTED_PIXELS),
        (npy.to_bytes(np.zeros((200, 200), np.uint8)), Fault.TOO_MANY_PIXELS),
        (npy.to_bytes(np.zeros((90, 90, 9), np.uint8)), Fault.TOO_MANY_PIXELS),
        (npy.to_bytes(np.full((9, 9), np.nan)), Fault.NOT_FINITE),
        (npy.to_bytes(np.full((9, 9), 1e300)), Fault.NOT_FINITE),
        (tiff(FLOATS[..., 0])[:900], Fault.BROKEN),
    ],
)
def test_others_have_a_fault(tmp_path, data, fault):
    (tmp_path / "a.npy").write_bytes(data)
    assert inspection.inspect_file(tmp_path / "a.npy", MAX_PIXELS).fault == fault
    with pytest.raises(UndecodableError):
        array_decoder.decode_array(data, MAX_PIXELS)


def test_one_array_is_the_same_image_in_any_format(tmp_path):
    inspected = []
    for name in ("npy", "five channels", "five planes", "five pages"):
        (tmp_path / "a.tif").write_bytes(ARRAYS[name][0])
        inspected.append(inspection.inspect_file(tmp_path / "a.tif"))
    assert {(one.width, one.height, one.channels) for one in inspected} == {(30, 20, 5)}
    assert [FORMATS[one.format] for one in inspected] == ["NPY", "TIFF", "TIFF", "TIFF"]
    assert len({one.pixel_digest for one in inspected}) == 1


def test_an_array_of_other_channels_than_before_is_noticed(tmp_path):
    np.save(tmp_path / "a.npy", DEEP)
    frame = ImageFrame(8, 8, channels=5)
    assert decoding.decode_array_to_size(tmp_path / "a.npy", frame).shape == (8, 8, 5)
    with pytest.raises(UndecodableError):
        decoding.decode_array_to_size(tmp_path / "a.npy", ImageFrame(8, 8))
