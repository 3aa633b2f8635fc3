"""Models that learn by predicting one part of an image from another."""
