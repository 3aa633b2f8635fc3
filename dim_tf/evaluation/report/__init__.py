"""report.html: what a run reached, as one page that loads nothing."""

from dim_tf.evaluation.report.page import write

__all__ = ["write"]
