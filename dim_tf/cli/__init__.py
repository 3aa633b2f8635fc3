"""The command line: flags made from settings, flagfiles, and help by section.

Importing this package needs no TensorFlow.
"""
