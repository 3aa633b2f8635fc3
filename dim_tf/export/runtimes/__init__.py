"""The runtimes that `dim_tf.export.convert` converts for: a file each."""
