"""Headers of JPEG and PNG inside a graph; `image_headers` has the same rules in Python."""
