"""Training: devices, the loop, checkpoints and what watches a run."""
