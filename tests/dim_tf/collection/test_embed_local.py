"""Local maps of a collection: written in shards, read in blocks, equal to the encoder's."""

import functools
import json

import numpy as np
import pytest
import small_export
import tensorflow as tf

from dim_tf.collection import embed, embeddings, image_collection, shard_formats
from dim_tf.collection.patches.stored_maps import StoredMaps
from dim_tf.data.pixel_range import PixelRange
from dim_tf.export import encoded_input, saved_model
from dim_tf.export.local_maps import LocalMaps
from dim_tf.system.errors import InputError, RunError

COUNT, BROKEN = 9, 4
SHAPE = (4, 4, 4)  # of a local map of the small encoder


@pytest.fixture(scope="module", autouse=True)
def _loaded_and_traced_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embed, "_load", functools.cache(embed._load))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    files = encoded_input.png_images(small_export.images(COUNT))
    files[BROKEN] = files[BROKEN][:50]
    for number, content in enumerate(files):
        (root / f"{number}.png").write_bytes(content)
    return root


@pytest.fixture(scope="module")
def expected(small_model):
    """The encoder's local maps of the images that can be decoded."""
    endpoints = saved_model.keras_endpoints(small_model[1], small_export.images(COUNT))
    return np.delete(endpoints["local"], BROKEN, axis=0)


def run(small_model, folder, out, format="parquet", shard_size=4, feature="local"):
    images = image_collection.open_collection(str(folder))
    return embed.embed(small_model[0], images, out, format, shard_size, feature)


@pytest.mark.parametrize("format", ["parquet", "tfrecord"])
def test_they_are_the_encoders_in_half_precision(small_model, folder, expected, tmp_path, format):
    summary = run(small_model, folder, tmp_path, format)
    assert (summary["feature"], summary["images"], summary["refused"]) == ("local", COUNT, 1)
    assert (tmp_path / "refused-00001.txt").read_text() == f"{BROKEN}.png\n"
    maps = StoredMaps(tmp_path)
    assert maps.ids == [f"{n}.png" for n in range(COUNT) if n != BROKEN]
    assert (maps.shape, maps[:].dtype) == ((COUNT - 1, *SHAPE), np.float16)
    np.testing.assert_allclose(maps[:], expected, atol=2**-10 * np.abs(expected).max())
    rows = np.array([6, 0, 5, 3])  # of all files
    np.testing.assert_array_equal(maps[rows], maps[:][rows])
    np.testing.assert_array_equal(maps[-1], maps[:][-1])
    np.testing.assert_array_equal(maps.by_location[2:5], maps[2:5].reshape(3, 16, 4))
    embeddings.check_encoder(tmp_path, small_model[1].variables, "local")


def test_a_file_holds_few_enough_images_and_work_goes_on(
    small_model, folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(embed, "LOCAL_SHARD_BYTES", 3 * 2 * 64)
    monkeypatch.setattr(embed, "LOCAL_BATCH_BYTES", 2 * 4 * 64)
    run(small_model, folder, tmp_path)
    assert len(list(tmp_path.glob("embeddings-0*"))) == 3
    whole = StoredMaps(tmp_path)[:]
    # As after a kill: the last file is missing, and the second one is not recorded.
    manifest = json.loads((tmp_path / "embeddings.json").read_text())
    recorded = {name: digest for name, digest in manifest["files"].items() if "00000" in name}
    embeddings.write_manifest(
        tmp_path, {k: v for k, v in manifest.items() if k != "sha256"} | {"files": recorded}
    )
    (tmp_path / "embeddings-00002.parquet").unlink()
    before = (tmp_path / "embeddings-00001.parquet").stat().st_mtime_ns
    run(small_model, folder, tmp_path)
    assert (tmp_path / "embeddings-00001.parquet").stat().st_mtime_ns == before
    np.testing.assert_array_equal(StoredMaps(tmp_path)[:], whole)


def test_vectors_and_maps_are_not_taken_for_each_other(small_model, folder, tmp_path):
    run(small_model, folder, tmp_path / "local")
    run(small_model, folder, tmp_path / "global", feature="global")
    with pytest.raises(
        InputError, match=r"feature 'conv': .* exported to give 'global'; give 'auto'"
    ):
        run(small_model, folder, tmp_path / "conv", feature="conv")
    with pytest.raises(InputError, match=r"holds local maps, and a vector for each image"):
        embeddings.read(tmp_path / "local")
    with pytest.raises(InputError, match=r"holds the feature 'global' .* --embed_feature=local"):
        StoredMaps(tmp_path / "global")
    with pytest.raises(InputError, match=r"feature: 'local' -> 'global'"):
        run(small_model, folder, tmp_path / "local", feature="auto")
    manifest = json.loads((tmp_path / "local" / "embeddings.json").read_text())
    del manifest["feature"], manifest["sha256"]
    embeddings.write_manifest(tmp_path / "local", manifest)
    with pytest.raises(InputError, match="no numbers that are finite as float32"):
        embeddings.read(tmp_path / "local")


def test_a_number_beyond_half_precision_is_an_error():
    def signature(image_bytes):
        maps = np.zeros((3, 1, 1, 2), np.float16)
        maps[1:] = np.inf
        return {"local": tf.constant(maps), "valid": tf.constant([True, False, True])}

    with pytest.raises(RunError, match=r"map of 'c' has a number beyond 65504"):
        next(embed._embedded_batches(signature, [(["a", "b", "c"], tf.constant([""] * 3))]))


def test_images_are_prepared_as_by_the_exports_signatures_on_bytes(tmp_path):
    """Padded, and of 16 bits: not as an export does it that says nothing."""
    options = {"fit": "pad", "pixel_range": PixelRange(100, 5000), "max_pixels": 100}
    encoder = small_export.small_encoder()
    recorded = {"fit": "pad", "pixel_range": [100, 5000], "max_pixels": 100}
    saved_model.save(encoder, tmp_path, saved_model.SavedModelOptions(recorded, **options))
    rng = np.random.default_rng(0)
    files = [
        tf.io.encode_png(rng.integers(0, high, (*size, 3)).astype(kind)).numpy()
        for high, kind, size in (
            (256, np.uint8, (5, 8)), (6000, np.uint16, (8, 8)), (256, np.uint8, (20, 20))
        )
    ]  # fmt: skip
    local_maps = LocalMaps(tmp_path)
    outputs = local_maps(image_bytes=tf.constant(files))
    assert outputs["valid"].numpy().tolist() == [True, True, False]
    signatures = local_maps.model.signatures
    features = signatures["serving_bytes_valid"](image_bytes=tf.constant(files))["global"]
    x = tf.cast(outputs["local"], tf.float32)
    for stage in encoder.stages[encoder.endpoints["local"] + 1 :]:
        x = stage(x, training=False, random=None)
    np.testing.assert_allclose(x[:2], features[:2], atol=5e-3)
    assert np.abs(features[0] - features[1]).max() > 0.05


def test_an_empty_file_of_local_maps_is_read(tmp_path):
    for format in ("parquet", "tfrecord"):
        path = tmp_path / f"embeddings-00000.{format}"
        shard_formats.FORMATS[format].write(path, [], np.empty((0, *SHAPE), np.float16))
        ids, maps = embeddings.read_shard(path, dimensions=3)
        assert ids == []
        assert len(maps) == 0


def test_an_encoder_without_local_maps_is_refused(tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec([None, 8, 8, 3], tf.float32, name="images")
    endpoints = tf.function(lambda images: {"global": images[:, 0, 0]}, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path), signatures={"endpoints": endpoints})
    with pytest.raises(InputError, match=r"has no local map of a fixed size, but .* global; give"):
        LocalMaps(tmp_path)
