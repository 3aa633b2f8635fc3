"""Measures of a representation, one file each, and the report. Sees encoders, no training."""
