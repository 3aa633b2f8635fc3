"""Curation of a collection of images: duplicates, outliers, wrong labels, leaks, a subset."""
