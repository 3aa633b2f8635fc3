"""The measures, one file each, listed by name in `dim_tf.registry.MEASURES`."""
