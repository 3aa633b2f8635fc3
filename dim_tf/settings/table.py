"""Settings of the paper's tables."""

from dataclasses import dataclass

from dim_tf.registry import TABLES
from dim_tf.settings.config_field import Settings, config_field


@dataclass(frozen=True)
class TableSettings(Settings):
    """Which table --mode=table makes, and which of its rows."""

    name: str = config_field(
        "",
        "Table of --mode=table: one of the paper's, its comparison with CPC, the methods that it "
        "cites, or an ablation; it goes to --run_dir, or to runs/tableTABLE-DATASET.",
        flag="table",
        choices=("", *TABLES),
        hyperparameter=False,
    )
    rows: str = config_field(
        "",
        "Rows of the table to run, in this order, with commas between; NAME:N runs only the first "
        "N of --table_seeds; empty: all.",
        hyperparameter=False,
    )
    seeds: str = config_field(
        "0",
        "Seeds of each row, with commas between: all rows with the first, then the next.",
        flag="table_seeds",
        hyperparameter=False,
    )
    results: str = config_field(
        "",
        "Folder to which the table and the values of each finished row are copied, and where rows "
        "that were finished elsewhere are found; empty: none.",
        is_path=True,
        hyperparameter=False,
    )
