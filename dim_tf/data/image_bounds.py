"""How large an encoded image may be, for every decoder here. Free of TensorFlow and of Pillow."""

# 100 MB as bytes of three channels, of which a decoder and the resize hold about four copies.
MAX_PIXELS = 2**25
# Of a file: as many pixels of 16 bits and four channels, not compressed.
MAX_BYTES = 2**28
# Of a JPEG. Real ones have up to about 15.
MAX_SCANS = 64
