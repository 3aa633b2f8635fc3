"""Training: devices, the loop, its callbacks and checkpoints."""
