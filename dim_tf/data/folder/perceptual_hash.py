"""A perceptual hash and a thumbnail of each image, by which near duplicates are found.

The hash is aHash from the package ImageHash (https://github.com/JohannesBuchner/imagehash): which
of 8x8 gray pixels are above their mean. Images that look alike differ in few bits, but so may
images that do not; therefore `near_duplicates` also compares the thumbnails. The package's pHash
has fewer collisions but misses more: a shift by 3 % of the side flips more than 7 bits in most
photographs.
"""

import imagehash
import numpy as np
from PIL import Image

HASH_BYTES = 8
THUMBNAIL_SIDE = 12
THUMBNAIL_BYTES = THUMBNAIL_SIDE**2 * 3
_REDUCED_SIDE = 64  # of the copy from which both are made: large images are read only once
_REDUCING_GAP = 2.0  # Pillow first averages blocks of images of more than twice that size


def hash_and_thumbnail(
    image: Image.Image | np.ndarray, low: int = 0, high: int = 0
) -> tuple[bytes, bytes]:
    """The perceptual hash of a whole image, and its thumbnail.

    Args:
        image: Upright, as returned by `pillow_decoder.decode_upright`.
        low: For an array, the value that becomes black.
        high: The value that becomes white.

    Returns:
        `HASH_BYTES` of aHash; and `THUMBNAIL_BYTES` of RGB, row by row, without the image's
        proportions: a resized copy has the same thumbnail.
    """
    reduced = _reduce(image, low, high)
    bits = imagehash.average_hash(reduced).hash
    side = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    thumbnail = reduced.resize(side, Image.Resampling.BILINEAR)
    return np.packbits(bits).tobytes(), thumbnail.tobytes()


def _reduce(image, low, high):
    """RGB with `_REDUCED_SIDE` pixels a side."""
    side = (_REDUCED_SIDE, _REDUCED_SIDE)
    if not isinstance(image, np.ndarray):
        rgb = image if image.mode == "RGB" else image.convert("RGB")
        return rgb.resize(side, Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
    # Pillow resizes arrays of one channel in float32.
    channels = [
        np.asarray(
            Image.fromarray(channel.astype(np.float32)).resize(side, Image.Resampling.BILINEAR)
        )
        for channel in np.moveaxis(image, -1, 0)
    ]
    scaled = (np.stack(channels, -1) - low) * (255 / max(high - low, 1))
    pixels = np.clip(scaled, 0, 255).astype(np.uint8)
    return Image.fromarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)).copy())
