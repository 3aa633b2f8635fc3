"""A classifier from an encoder and labels: head, fine-tuning, calibration, comparison."""
