"""Models that learn by assigning images to targets."""
