"""A folder of images: scanned, split, labelled, decoded, cached and reported."""
