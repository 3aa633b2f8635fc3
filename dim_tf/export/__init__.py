"""Export of an encoder as a SavedModel and as TFLite, each loaded again and compared."""
