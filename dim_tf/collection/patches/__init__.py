"""Local features of many images: defects, details, segmentation.

The modules take local maps, floats [N, H, W, D]: a feature for each of H x W locations of an image.
Only `stored_maps` and `detector_export` import TensorFlow.
"""
