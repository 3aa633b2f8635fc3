"""Uses of an encoder on a collection of images: embeddings of all of them."""
