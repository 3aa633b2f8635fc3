"""Measures a representation and reports on it. Handles encoders, not their training."""
