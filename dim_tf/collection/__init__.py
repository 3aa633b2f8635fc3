"""Uses of an encoder on a whole collection of images: embeddings, search, curation, anomalies."""
