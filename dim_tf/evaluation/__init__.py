"""Measures a representation and reports on it. Sees encoders, not their training."""
