"""The models that --model names: a file each, with its settings and how it is made.

Importing this package needs no TensorFlow: a model's `make` imports what it is made of.
"""
