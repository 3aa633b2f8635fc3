"""Encoders fitted to images in closed form or by their own rule, without training steps.

`encoders.py` has the Keras encoders. Each other file has one method: NumPy arrays of images in,
fitted numbers out.
"""
