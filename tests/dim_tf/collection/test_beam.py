"""The Beam pipeline embeds each image once, as the SavedModel does, and lists those it cannot."""

import json
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_export
import tensorflow as tf

from dim_tf.export import encoded_input, saved_model, verify
from dim_tf.system.errors import InputError

pytest.importorskip("apache_beam")

import apache_beam as beam
import pyarrow
import pyarrow.parquet
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.testing import util
from apache_beam.testing.test_pipeline import TestPipeline

from dim_tf.collection import beam as collection_beam
from dim_tf.collection import beam_io

COUNT = 30
# Without it Beam first looks on the network for a runner that is written in Go.
RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"


def close(actual, wanted):
    np.testing.assert_allclose(np.asarray(actual), wanted, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An exported encoder's path."""
    path = tmp_path_factory.mktemp("exported") / "1"
    saved_model.save(small_export.small_encoder(), path, saved_model.SavedModelOptions({}))
    return str(path)


@pytest.fixture(scope="module")
def encoded():
    """30 encoded images and two that are broken, under their ids."""
    images = encoded_input.png_images(small_export.images(COUNT))
    names = [f"{'ab'[i % 2]}/é {i}.png" for i in range(COUNT)]
    return dict(zip(names, images, strict=True)) | {"a/cut.png": images[0][:40], "empty.png": b""}


@pytest.fixture(scope="module")
def wanted(exported, encoded):
    """The SavedModel's own answer to each whole image: id -> float32 [D]."""
    signature = tf.saved_model.load(exported).signatures["serving_bytes"]
    names = list(encoded)[:COUNT]
    features = signature(image_bytes=tf.constant([encoded[n] for n in names]))["global"].numpy()
    return dict(zip(names, features, strict=True))


@pytest.fixture(scope="module")
def image_files(encoded, tmp_path_factory):
    """The folder of the image files."""
    folder = tmp_path_factory.mktemp("images")
    for name, image in encoded.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(image)
    return folder


@pytest.fixture(scope="module")
def record_files(encoded, tmp_path_factory):
    """Two TFRecord files, the second one compressed, and the location of each id in them."""
    folder = tmp_path_factory.mktemp("records")
    locations = {}
    for file, compression in (("0.tfrecord", ""), ("1.tfrecord.gz", "GZIP")):
        names = [n for i, n in enumerate(encoded) if i % 2 == int(file[0])]
        with tf.io.TFRecordWriter(str(folder / file), compression) as writer:
            for number, name in enumerate(names):
                locations[name] = f"{file}:{number}"
                features = {
                    "picture": bytes_feature(encoded[name]),
                    "name": bytes_feature(name.encode()),
                    "number": tf.train.Feature(int64_list={"value": [len(locations)]}),
                }
                writer.write(tf.train.Example(features={"feature": features}).SerializeToString())
    return folder, locations


def bytes_feature(value):
    return tf.train.Feature(bytes_list={"value": [value]})


def rows_of_parquet(folder):
    rows = []
    for path in folder.glob("out-*.parquet"):
        table = pyarrow.parquet.read_table(path)
        assert table.schema.field("id").type == pyarrow.string()
        assert table.schema.field("embedding").type.equals(pyarrow.list_(pyarrow.float32(), 5))
        rows += [(row["id"], row["embedding"]) for row in table.to_pylist()]
    return rows


def rows_of_tfrecord(folder):
    rows = []
    for record in tf.data.TFRecordDataset([str(p) for p in folder.glob("out-*.tfrecord")]):
        features = tf.train.Example.FromString(record.numpy()).features.feature
        name = features["id"].bytes_list.value[0].decode()
        rows.append((name, list(features["embedding"].float_list.value)))
    return rows


def invalid_ids(folder):
    lines = [p.read_text("utf-8").splitlines() for p in folder.glob("out-invalid*.txt")]
    assert lines
    return sorted(line for of_one in lines for line in of_one)


def check_rows(rows, wanted):
    assert sorted(name for name, _ in rows) == sorted(wanted)  # each once
    for name, embedding in rows:
        close(embedding, wanted[name])


def run(exported, output, *flags):
    return collection_beam.main(
        [f"--encoder_path={exported}", f"--output={output}/out", RUNNER, "--batch_size=4", *flags]
    )


def test_the_handler_is_light_and_answers_as_the_saved_model(exported, encoded, wanted):
    handler = pickle.loads(pickle.dumps(collection_beam.EncoderHandler(exported, 2, 8)))
    assert handler.batch_elements_kwargs() == {"min_batch_size": 2, "max_batch_size": 8}
    assert handler.get_num_bytes([b"12", b"345"]) == 5
    assert handler.get_metrics_namespace() == "dim_tf"
    model = handler.load_model()
    results = dict(zip(encoded, handler.run_inference([*encoded.values()], model), strict=True))
    assert {name for name, x in results.items() if x.valid} == set(wanted)
    for name, result in results.items():
        assert result.embedding.dtype == np.float32
        close(result.embedding, wanted.get(name, np.zeros(5)))


@pytest.mark.parametrize("keyed", [False, True])
def test_the_handler_in_run_inference(exported, encoded, keyed):
    handler, examples = collection_beam.EncoderHandler(exported), [*encoded.values()]
    if keyed:
        handler, examples = KeyedModelHandler(handler), [*encoded.items()]
    with TestPipeline(argv=[RUNNER]) as pipeline:
        results = pipeline | beam.Create(examples) | RunInference(handler)
        valid = results | beam.Map(lambda x: (x[1] if keyed else x).valid)
        util.assert_that(valid, util.equal_to([True] * COUNT + [False] * 2))


def test_the_example_of_the_documentation(exported, encoded, wanted, tmp_path):
    page = Path(__file__).parents[3] / "docs" / "howto" / "convert.md"
    text = page.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(import apache_beam.*?)```", text, re.DOTALL)
    for written, ours in (
        ('"exported/photos/1"', repr(exported)),
        ('"features"', repr(str(tmp_path / "features"))),
        ("beam.Pipeline()", f"beam.Pipeline(argv=[{RUNNER!r}])"),
    ):
        assert written in code
        code = code.replace(written, ours)
    exec(code, {"files": [*encoded.values()]})
    lines = [line for path in tmp_path.iterdir() for line in path.read_text().splitlines()]
    close(sorted(map(json.loads, lines)), sorted(x.tolist() for x in wanted.values()))


def test_embed_as_a_transform(exported, encoded, wanted):
    def check(rows):
        check_rows(rows, wanted)
        assert all(type(x) is float for _, embedding in rows for x in embedding)

    with TestPipeline(argv=[RUNNER]) as pipeline:
        outputs = pipeline | beam.Create(encoded.items()) | collection_beam.Embed(exported, 7)
        util.assert_that(outputs.embedded, check)
        util.assert_that(
            outputs.invalid, util.equal_to(["a/cut.png", "empty.png"]), label="invalid"
        )


def test_image_files_to_parquet(exported, image_files, wanted, tmp_path, capsys):
    assert run(exported, tmp_path, f"--input={image_files}/**") == 0
    check_rows(rows_of_parquet(tmp_path), wanted)
    assert invalid_ids(tmp_path) == ["a/cut.png", "empty.png"]
    printed = capsys.readouterr().out
    assert "30 images embedded" in printed
    assert "2 images could not be decoded" in printed


def test_tfrecord_to_tfrecord_with_ids_by_location(exported, record_files, wanted, tmp_path):
    folder, locations = record_files
    flags = ["--input_format=tfrecord", "--image_feature=picture", "--output_format=tfrecord"]
    assert run(exported, tmp_path, f"--input={folder}/*", *flags) == 0
    check_rows(rows_of_tfrecord(tmp_path), {locations[name]: x for name, x in wanted.items()})
    assert invalid_ids(tmp_path) == sorted([locations["a/cut.png"], locations["empty.png"]])


def test_tfrecord_to_parquet_with_an_id_feature(exported, record_files, wanted, tmp_path):
    flags = ["--input_format=tfrecord", "--image_feature=picture", "--id_feature=name"]
    assert run(exported, tmp_path, f"--input={record_files[0]}/?.tfrecord*", *flags) == 0
    check_rows(rows_of_parquet(tmp_path), wanted)
    assert invalid_ids(tmp_path) == ["a/cut.png", "empty.png"]


def test_a_glob_without_a_folder(exported, image_files, tmp_path, monkeypatch):
    monkeypatch.chdir(image_files)
    assert run(exported, tmp_path, "--input=*.png") == 0
    assert invalid_ids(tmp_path) == ["empty.png"]
    assert rows_of_parquet(tmp_path) == []


def test_without_invalid_images_their_file_is_empty(exported, image_files, tmp_path, capsys):
    assert run(exported, tmp_path, f"--input={image_files}/b/*.png") == 0
    assert invalid_ids(tmp_path) == []
    assert len(rows_of_parquet(tmp_path)) == COUNT // 2
    assert "0 images could not be decoded" in capsys.readouterr().out


def test_the_same_command_makes_what_is_missing(exported, image_files, wanted, tmp_path, capsys):
    flags = [f"--input={image_files}/**", "--shard_size=7"]  # of 32 images
    assert run(exported, tmp_path, *flags) == 0
    files = sorted(tmp_path.glob("out-*.parquet"))
    assert [f.name for f in files] == [f"out-{i:05d}-of-00005.parquet" for i in range(5)]
    written = [f.stat().st_mtime_ns for f in files]
    files[1].unlink()
    (tmp_path / f"out-00000-of-00005.parquet.{'0' * 32}.tmp").touch()  # of a killed worker
    assert run(exported, tmp_path, *flags) == 0
    assert "4 of 5 files are there" in capsys.readouterr().out
    changed = [f.stat().st_mtime_ns != t for f, t in zip(files, written, strict=True)]
    assert changed == [False, True, False, False, False]
    check_rows(rows_of_parquet(tmp_path), wanted)
    assert not list(tmp_path.glob("*.tmp"))


def test_files_of_other_images_are_not_mixed_in(exported, image_files, tmp_path, capsys):
    assert run(exported, tmp_path, f"--input={image_files}/empty.png") == 0
    assert run(exported, tmp_path, f"--input={image_files}/b/*.png") == 2
    assert "out-00000-of-00001.json records embeddings of other images" in capsys.readouterr().err
    assert invalid_ids(tmp_path) == ["empty.png"]


def test_a_runner_that_leaves_files_out_is_noticed(
    exported, image_files, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(collection_beam, "_run", lambda pipeline: None)
    assert run(exported, tmp_path, f"--input={image_files}/b/*.png", "--shard_size=5") == 1
    assert "error: 3 of 3 files were not written" in capsys.readouterr().err


def test_flags_of_the_dask_runner():
    name = collection_beam.DASK_RUNNER
    flags = collection_beam.runner_flags
    assert flags(["--runner", "DaskRunner"])[2:] == [f"--runner={name}", "--dask_partition_size=1"]
    divided = ["--runner=DaskRunner", "--dask_npartitions=4"]
    assert flags(divided) == [*divided, f"--runner={name}"]
    assert flags([RUNNER]) == [RUNNER]


def test_a_runner_whose_package_is_missing(exported, image_files, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam.runners.dask.dask_runner", None)
    assert run(exported, tmp_path, f"--input={image_files}/b/*", "--runner=DaskRunner") == 2
    assert "pip install 'dim_tf[dask]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pattern", "folder"),
    [
        ("a/b/c*/d.png", "a/b/"),
        ("gs://bucket/**.jpg", "gs://bucket/"),
        ("a/[01].png", "a/"),
        ("a/b.png", "a/"),
        ("*.png", ""),
    ],
)
def test_fixed_folder(pattern, folder):
    assert beam_io.fixed_folder(pattern) == folder


def test_an_integer_feature_as_id(record_files):
    reader = beam_io.ExampleReader("", "picture", "number")
    with (record_files[0] / "0.tfrecord").open("rb") as stream:
        ids = [reader.parse(r, "0:0")[0] for r in beam_io.read_records(stream, "0")]
    assert ids == [str(i + 1) for i in range(16)]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--input={images}/*.jpg"], "no file matches --input="),
        (["--input={images}"], "is a folder; give a glob"),
        (["--input=what://images/*"], "cannot be looked up"),
        (["--input={images}/b/*", "--input_format=tfrecord"], "is no whole TFRecord file"),
        (["--input={records}/*", "--input_format=tfrecord"], "no feature 'image' with one value"),
        (
            ["--input={records}/*", "--input_format=tfrecord", "--image_feature=number"],
            "is a number, not an encoded image",
        ),
        (["--input={images}/**", "--encoder_path={images}"], "cannot be loaded"),
    ],
)
def test_errors_are_one_line(exported, image_files, record_files, tmp_path, capsys, flags, message):
    flags = [flag.format(images=image_files, records=record_files[0]) for flag in flags]
    assert run(exported, tmp_path, *flags) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert message in printed
    assert printed.count("\n") == 1


def test_a_record_that_is_cut_off(exported, record_files, tmp_path, capsys):
    """Found while the pipeline runs: the first record is whole."""
    whole = (record_files[0] / "0.tfrecord").read_bytes()
    (tmp_path / "cut.tfrecord").write_bytes(whole[:-3])
    flags = ["--input_format=tfrecord", "--image_feature=picture"]
    assert run(exported, tmp_path, f"--input={tmp_path}/cut.tfrecord", *flags) == 2
    assert "cut.tfrecord is no whole TFRecord file" in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


def test_an_output_that_cannot_be_written(exported, image_files, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(exported, tmp_path / "file", f"--input={image_files}/b/*") == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: the pipeline failed: ")
    assert "File exists" in printed
    assert printed.count("\n") == 1


def test_an_unknown_runner(exported, image_files, tmp_path, capsys):
    flags = [f"--input={image_files}/b/*", "--runner=Nobody"]
    assert run(exported, tmp_path, *flags) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: Beam's options cannot be used: Unexpected pipeline runner")
    assert printed.count("\n") == 1


def test_an_id_that_is_no_text():
    reader = beam_io.ExampleReader("", "picture", "name")
    features = {"picture": bytes_feature(b"image"), "name": bytes_feature(b"\xff")}
    record = tf.train.Example(features={"feature": features}).SerializeToString()
    with pytest.raises(InputError, match=r"0:0: the feature 'name' is no text in UTF-8"):
        reader.parse(record, "0:0")


def test_a_damaged_copy_embeds_nothing(exported, image_files, tmp_path, capsys):
    copied = shutil.copytree(exported, tmp_path / "1")
    verify.write_sums(copied)
    (copied / "assets/labels.txt").write_text("cat\n")
    assert run(copied, tmp_path, f"--input={image_files}/b/*") == 2
    assert "is not as it was published (changed: assets/labels.txt" in capsys.readouterr().err


def test_a_saved_model_without_the_signature(tmp_path):
    module = tf.Module()
    module.f = tf.function(lambda x: x, input_signature=[tf.TensorSpec([None])])
    tf.saved_model.save(module, str(tmp_path), signatures={"other": module.f})
    with pytest.raises(InputError, match="has the signatures other and not serving_bytes_valid"):
        collection_beam.EncoderHandler(str(tmp_path)).load_model()


def test_a_saved_model_whose_feature_has_no_size(image_files, tmp_path, capsys):
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def signature(image_bytes):
        lengths = tf.strings.length(image_bytes)
        features = tf.cast(tf.repeat(lengths[:, None], tf.size(lengths), 1), tf.float32)
        return {"global": features, "valid": lengths > 0}

    module.f = signature
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"serving_bytes_valid": module.f})
    assert run(tmp_path / "1", tmp_path, f"--input={image_files}/b/*") == 2
    assert "does not say how many numbers its feature has" in capsys.readouterr().err


def test_without_beam_one_line_says_what_to_install(tmp_path):
    (tmp_path / "apache_beam.py").write_text(
        "raise ModuleNotFoundError('no', name='apache_beam')\n", encoding="utf-8"
    )
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import runpy; "
    code += "runpy.run_module('dim_tf.collection.beam', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last == "error: apache_beam is not installed; pip install 'dim_tf[beam]'"
