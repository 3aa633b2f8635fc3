"""benchmarks/runtimes.py: its table, and its rows with the runtimes that every install has."""

import shutil
from pathlib import Path

import interleaved
import numpy as np
import pytest
import runtimes
import small_export

from dim_tf.export import convert, serving
from dim_tf.export.convert import Source

LOADER = """
const tf = {
  tidy: (call) => call(),
  keep: (tensor) => tensor,
  randomUniform: (shape) => ({shape, dataSync: () => process.stderr.write(JSON.stringify(shape))}),
  getBackend: () => "none",
};
module.exports = {tf, load: async () => (images) => ({images})};
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    version = tmp_path_factory.mktemp("small") / "1"
    small_export.save(version)
    serving.write_warmup(version, "small", small_export.images())
    return Source.load(version)


def test_the_table_has_medians_and_ratios():
    values = {
        ("TensorFlow", 1): [1e-3, 2e-3, 9e-3],
        ("onnx", 1): [1e-3, 1e-3, 1e-3],
        ("TensorFlow", 64): [4e-2],
        ("onnx", 64): [8e-2],
    }
    rows = runtimes.table(values).splitlines()[2:]
    assert rows == [
        "| TensorFlow | 2.00 | 1.00 | 40.00 | 1.00 |",
        "| onnx | 1.00 | 2.00 | 80.00 | 0.50 |",
    ]


def test_each_runtime_and_batch_is_timed(source, monkeypatch):
    ran = []

    def run_of(name, batch):
        return lambda images: [ran.append((name, batch, len(images)))]

    litert = {batch: run_of("LiteRT", batch) for batch in (1, 64)}
    monkeypatch.setattr(runtimes, "litert_calls", lambda *_: litert)
    monkeypatch.setattr(runtimes, "seconds_of", lambda call: call() is None or 0.5)
    monkeypatch.setattr(type(source), "run", lambda _, images: run_of("TensorFlow", 0)(images))
    values = runtimes.measure(source, [], [], "", 2)
    assert set(values) == {(name, n) for name in ("TensorFlow", "LiteRT") for n in (1, 64)}
    assert all(seconds == [0.5, 0.5] for seconds in values.values())
    tensorflow = {("TensorFlow", 0, 1), ("TensorFlow", 0, 64)}
    assert set(ran) == tensorflow | {("LiteRT", 1, 1), ("LiteRT", 64, 64)}


@pytest.mark.slow
def test_litert_runs_each_batch(source, tmp_path):
    for batch, run in runtimes.litert_calls(source, tmp_path / "litert").items():
        images = np.random.default_rng(0).random((batch, 8, 8, 3), np.float32)
        (answer,), (wanted,) = run(images).values(), source.run(images).values()
        small_export.close(answer, wanted)


def test_node_ends_after_an_error(source, monkeypatch):
    workers = []

    class FailingWorker:
        def __init__(self, command):
            self.command, self.is_closed = command, False
            workers.append(self)

        def seconds(self, task):
            raise RuntimeError("Node ended")

        def close(self):
            self.is_closed = True

    monkeypatch.setattr(runtimes, "Worker", FailingWorker)
    monkeypatch.setattr(runtimes, "litert_calls", lambda *_: dict.fromkeys((1, 64), lambda x: x))
    monkeypatch.setattr(convert, "convert", lambda *_: 0.0)
    with pytest.raises(RuntimeError, match="Node ended"):
        runtimes.measure(source, ["tfjs"], [None], "node_modules", 1)
    (worker,) = workers
    assert worker.is_closed
    assert worker.command[:2] == ["env", f"NODE_PATH={Path('node_modules').resolve()}"]
    height, width, channels = map(str, source.images.shape[1:])
    assert worker.command[-4:] == [str(interleaved.SECONDS), height, width, channels]


@pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")
@pytest.mark.parametrize("seconds", [0, 0.05])
def test_the_worker_in_node_repeats_a_call_for_the_seconds_it_is_given(seconds, tmp_path, capfd):
    loader, script = tmp_path / "loader.js", Path(runtimes.__file__).parent / "tfjs_worker.js"
    loader.write_text(LOADER, encoding="utf-8")
    arguments = (script, loader, "model", seconds, 4, 5, 3)
    worker = interleaved.Worker(["node", *map(str, arguments)])
    assert worker.facts["backend"] == "none"
    assert worker.seconds("2") > 0
    worker.close()
    calls = capfd.readouterr().err.count("[2,4,5,3]")
    assert calls > 1 if seconds else calls == 1


def test_wrong_input_is_one_line(tmp_path, capsys):
    assert runtimes.main([str(tmp_path), "--to=coreml"]) == 2
    assert runtimes.main([str(tmp_path), "--repetitions=0"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith("error: --to=coreml: 'coreml' is no format")
    assert errors[1] == "error: --repetitions=0 times nothing; give 1 or more"
