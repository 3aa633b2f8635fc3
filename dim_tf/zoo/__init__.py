"""Encoders by name: `dim_tf.load("zoo:NAME")`, from a folder or a mirror with an index.

docs/ZOO.md describes the index and how to make a zoo.
"""

PREFIX = "zoo:"
