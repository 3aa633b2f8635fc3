"""A collection of images put in order: duplicates, outliers, wrong labels, leaks, a subset."""
