"""How large an encoded image may be, for every decoder here. Free of TensorFlow and of Pillow."""

# 100 MB as bytes of three channels, of which a decoder and the resize hold about four copies.
MAX_PIXELS = 2**25
MAX_SIDE = 2**20  # pixels; decoders' own arithmetic ends soon after
# Of a file: as many pixels of 16 bits and four channels, not compressed.
MAX_BYTES = 2**28
# Of a JPEG. Real ones have up to about 15.
MAX_SCANS = 64
# Of a JPEG, times the pixels that may be made of an image: its own pixels, as it may be decoded at
# 1/2, 1/4 or 1/8 (telephones have 200 million); the coefficients, of 2 bytes, where a decoder has
# to hold all of them at once; and the pixels that all scans together touch.
JPEG_PIXELS, JPEG_COEFFICIENTS, JPEG_PASSES = 8, 6, 32
