"""The models that --model names: one file each, with its settings and how it is built.

Importing this package needs no TensorFlow: a model's `make` imports what it uses.
"""
