"""The units of the Beam pipeline's work: whole or not at all, and of known origin."""

import json
from pathlib import Path

import numpy as np
import pytest

from dim_tf.system.errors import InputError, RunError

pytest.importorskip("apache_beam")

import pyarrow.parquet
from apache_beam.io.filesystem import FileMetadata

from dim_tf.collection import beam_shards, shard_formats
from dim_tf.collection.beam import Embedding

SIZE = 3
ORIGIN = {"encoder": "of these weights"}


def metadata(count):
    return [FileMetadata(f"in/{i}.png", 100 + i, 1.5) for i in range(count)]


def shards_of(count, size=2, origin=ORIGIN):
    return beam_shards.divide(metadata(count), size, "in/", origin)


@pytest.fixture(params=["parquet", "tfrecord"])
def files(request, tmp_path):
    return beam_shards.ShardFiles(f"{tmp_path}/out", request.param, SIZE)


def rows(*ids):
    return [*ids], np.array([[len(x), 1, 2] for x in ids], np.float32)


def read(files, shard):
    ids, embeddings = shard_formats.FORMATS[files.format_name].read(Path(files.path(shard)))
    assert embeddings.dtype == np.float32
    return dict(zip(ids, embeddings.tolist(), strict=True))


class FakeHandler:
    """Embeds bytes as their number; none is invalid."""

    def load_model(self):
        return lambda: None  # may be referred to weakly

    def run_inference(self, batch, model):
        return [Embedding(bool(x), np.full(SIZE, len(x), np.float32)) for x in batch]


class FakeReader:
    """Each file holds three images."""

    folder = "in/"

    def read(self, path):
        for number in range(3):
            yield f"{path}:{number}", b"x" * number


def test_files_are_divided_in_their_order():
    shards = shards_of(5)
    assert [s.files for s in shards] == [("0.png", "1.png"), ("2.png", "3.png"), ("4.png",)]
    assert [(s.number, s.count) for s in shards] == [(0, 3), (1, 3), (2, 3)]


def test_the_origin_is_of_the_encoder_and_of_each_file():
    first = shards_of(4)
    assert [s.origin for s in first] == [s.origin for s in shards_of(4)]
    assert first[0].origin != first[1].origin
    assert first[0].origin != shards_of(4, origin={"encoder": "of others"})[0].origin
    changed = metadata(4)
    changed[3].last_updated_in_seconds = 2.5
    again = beam_shards.divide(changed, 2, "in/", ORIGIN)
    assert [x.origin == y.origin for x, y in zip(first, again, strict=True)] == [True, False]


def test_a_file_outside_of_the_folder():
    with pytest.raises(InputError, match=r"lists in/0\.png"):
        beam_shards.divide(metadata(1), 1, "other/", ORIGIN)


def test_a_shard_and_its_record(files):
    first, second = shards_of(4)
    files.write(first, [rows("a", "bcd"), rows("ef")], ["broken"])
    assert read(files, first) == {"a": [1, 1, 2], "bcd": [3, 1, 2], "ef": [2, 1, 2]}
    assert files.record(first) == beam_shards.ShardRecord(first.origin, 3, ("broken",))
    assert files.record(second) is None
    with pytest.raises(RunError, match=r"1 of 2 files were not written, as .*out-00001-of-00002"):
        beam_shards.summarize(files, [first, second])
    files.write(second, [], ["b", "c"])
    assert beam_shards.summarize(files, [first, second]) == (3, ["broken", "b", "c"])
    assert read(files, second) == {}


def test_a_shard_without_images_has_the_columns(tmp_path):
    files = beam_shards.ShardFiles(f"{tmp_path}/out", "parquet", SIZE)
    (shard,) = shards_of(1)
    files.write(shard, [], [])
    table = pyarrow.parquet.read_table(files.path(shard))
    assert table.num_rows == 0
    assert table.schema.field("embedding").type.list_size == SIZE


def test_an_error_leaves_nothing(files, tmp_path):
    def failing():
        yield rows("a")
        raise RuntimeError("lost")

    (shard,) = shards_of(1)
    with pytest.raises(RuntimeError, match="lost"):
        files.write(shard, failing(), [])
    assert not list(tmp_path.iterdir())


def test_a_shard_never_stands_without_its_record(files, tmp_path, monkeypatch):
    def fail(path, text):
        raise OSError("full")

    monkeypatch.setattr(beam_shards, "write_text", fail)
    (shard,) = shards_of(1)
    with pytest.raises(OSError, match="full"):
        files.write(shard, [rows("a")], [])
    assert not list(tmp_path.iterdir())


def test_a_shard_of_another_origin_counts_as_missing(files):
    (shard,) = shards_of(1)
    files.write(shard, [rows("a")], [])
    (other,) = shards_of(1, origin={"encoder": "of others"})
    assert files.record(other) is None


def test_a_record_without_its_shard_counts_as_missing(files):
    (shard,) = shards_of(1)
    files.write(shard, [rows("a")], [])
    Path(files.path(shard)).unlink()
    assert files.record(shard) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"origin": 1}'])
def test_a_record_that_is_cut_off_counts_as_missing(files, text):
    (shard,) = shards_of(1)
    files.write(shard, [rows("a")], [])
    with open(files.path(shard, "json"), "w") as record:
        record.write(text)
    assert files.record(shard) is None


def test_the_same_shards_may_go_on(files):
    shards = shards_of(4)
    files.check_same_origin(shards)
    files.write(shards[1], [rows("a")], [])
    with open(f"{files.output}-notes-of-mine.json", "w") as mine:
        mine.write("{}")
    with open(files.path(shards[0], "json"), "w") as cut:
        cut.write("{")
    files.check_same_origin(shards)


@pytest.mark.parametrize(
    "others", [shards_of(6), shards_of(4, 1), shards_of(4, origin={"encoder": "of others"})]
)
def test_other_shards_are_refused(files, others):
    files.write(shards_of(4)[1], [rows("a")], [])
    with pytest.raises(InputError, match=r"out-00001-of-00002\.json records embeddings of other"):
        files.check_same_origin(others)


def test_only_temporary_files_are_removed(files, tmp_path):
    (shard,) = shards_of(1)
    files.write(shard, [rows("a")], [])
    kept = {*tmp_path.iterdir(), tmp_path / "out-mine.tmp"}
    (tmp_path / "out-mine.tmp").touch()
    (tmp_path / f"out-00000-of-00001.parquet.{'0a' * 16}.tmp").touch()
    files.remove_temporary_files()
    assert {*tmp_path.iterdir()} == kept


@pytest.mark.parametrize("kept", [1, 2, 100])
def test_each_image_has_one_row_or_is_listed(files, monkeypatch, kept):
    """Whatever the batches and however many rows are kept until they are written."""
    monkeypatch.setattr(beam_shards, "ROWS", kept)
    embed = beam_shards.EmbedShard(FakeHandler(), FakeReader(), files, batch_size=4)
    embed.setup()
    shards = shards_of(5)
    assert [number for shard in shards for number in embed.process(shard)] == [0, 1, 2]
    for shard in shards:
        paths = shard.files
        assert files.record(shard).invalid == tuple(f"{path}:0" for path in paths)
        assert files.record(shard).embedded == 2 * len(paths)
        expected = {f"{path}:{i}": [i] * SIZE for path in paths for i in (1, 2)}
        assert read(files, shard) == expected


def test_rows_are_written_in_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(beam_shards, "ROWS", 2)
    files = beam_shards.ShardFiles(f"{tmp_path}/out", "parquet", SIZE)
    embed = beam_shards.EmbedShard(FakeHandler(), FakeReader(), files, batch_size=3)
    embed.setup()
    (shard,) = shards_of(5, size=5)
    assert list(embed.process(shard)) == [0]
    assert pyarrow.parquet.ParquetFile(files.path(shard)).metadata.num_row_groups == 5


def test_a_record_is_json(files):
    (shard,) = shards_of(1)
    files.write(shard, [rows("a")], ["é\n"])
    with open(files.path(shard, "json"), encoding="utf-8") as record:
        assert json.load(record) == {"origin": shard.origin, "embedded": 1, "invalid": ["é\n"]}
