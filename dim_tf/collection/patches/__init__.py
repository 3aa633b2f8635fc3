"""Local features of many images: search for defects, segmentation, principal components.

The modules take local maps, floats [N, H, W, D]: a feature for each of H x W locations of an image.
None but `stored_maps` and `detector_export` imports TensorFlow.
"""
