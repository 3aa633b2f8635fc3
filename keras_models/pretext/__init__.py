"""Models that learn by predicting a part of an image from another."""
