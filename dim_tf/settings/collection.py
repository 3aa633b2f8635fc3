"""Settings of --mode=embed."""

from dataclasses import dataclass

from dim_tf.settings.config_field import Settings, config_field
from dim_tf.settings.export import AUTO


@dataclass(frozen=True)
class CollectionSettings(Settings):
    """Which images --mode=embed embeds, and how they are written."""

    input: str = config_field(
        "",
        "Images to embed: a folder, TFRecord files, or tfds:NAME:SPLIT.",
        details="Give TFRecord files as a pattern, such as 'images-*.tfrecord'.",
        flag="embed_input",
        common=True,
        is_path=True,
        hyperparameter=False,
    )
    output: str = config_field(
        "",
        "Folder of embeddings; empty: RUN_DIR/embeddings.",
        flag="embed_output",
        is_path=True,
        hyperparameter=False,
    )
    feature: str = config_field(
        AUTO,
        "What is written for each image: auto, the feature of the export; local, its local map.",
        details="A local map has a feature for each location, float16 [H, W, D] (docs/PATCHES.md).",
        flag="embed_feature",
        choices=(AUTO, "local"),
        hyperparameter=False,
    )
    format: str = config_field(
        "parquet",
        "Format of embeddings.",
        flag="embed_format",
        choices=("parquet", "tfrecord"),
        hyperparameter=False,
    )
    shard_size: int = config_field(
        4096,
        "Images per file of embeddings.",
        flag="embed_shard",
        minimum=1,
        maximum=10**7,
        hyperparameter=False,
    )
