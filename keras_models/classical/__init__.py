"""Encoders that are fitted to images in closed form or by their own rule, without training steps.

`encoders.py` has the Keras encoders. Each other file has a method: NumPy arrays of images in, the
fitted numbers out.
"""
