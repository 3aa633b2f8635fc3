"""Writes embeddings of a collection of images."""

from pathlib import Path

from dim_tf.collection import embed, image_collection
from dim_tf.collection.patches.stored_maps import StoredMaps
from dim_tf.experiment import Experiment
from dim_tf.export.local_maps import LOCAL
from dim_tf.stages.encoder_path import encoder_path
from dim_tf.system.console import say


def embed_collection(experiment: Experiment) -> Path:
    """Embeds --embed_input by an exported encoder; returns the folder of the embeddings."""
    images = image_collection.open_collection(
        experiment.collection.input,
        experiment.data.data_dir,
        experiment.data.download,
        experiment.data.max_pixels,
    )
    path = encoder_path(experiment)
    out = Path(experiment.collection.output or experiment.run_path / "embeddings")
    say(f"embed: {images.description}, by {path}")
    settings = experiment.collection
    summary = embed.embed(path, images, out, settings.format, settings.shard_size, settings.feature)
    say(f"embed: {summary['images']:,} images, {summary['refused']:,} refused: {out}")
    if settings.feature == LOCAL:
        height, width, size = StoredMaps(out).shape[1:]
        say(f"embed: local maps of {height} x {width} locations, {size:,} numbers each")
    return out
