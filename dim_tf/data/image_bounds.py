"""How large an encoded image may be, for every decoder. Imports neither TensorFlow nor Pillow."""

# 100 MB for three channels; a decoder and the resize hold about four copies.
MAX_PIXELS = 2**25
MAX_SIDE = 2**20  # pixels; decoders' own arithmetic overflows soon after
# Bytes of a file: MAX_PIXELS with four channels of 16 bits, uncompressed.
MAX_BYTES = 2**28
# Scans of a JPEG. Real ones have about 15 at most.
MAX_SCANS = 64
# Bounds of a JPEG, in multiples of the largest number of decoded pixels: its own pixels, because it
# may be decoded at 1/2, 1/4 or 1/8 (phones have 200 million); its coefficients of 2 bytes, if a
# decoder has to hold all of them at once; and the pixels that all scans together touch.
JPEG_PIXELS, JPEG_COEFFICIENTS, JPEG_PASSES = 8, 6, 32
# A JPEG is decoded at 1/2, 1/4 or 1/8 as long as it is still this many times larger than needed.
JPEG_OVERSAMPLING = 4
