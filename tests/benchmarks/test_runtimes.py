"""benchmarks/runtimes.py: its table, and its rows with the runtimes that every install has."""

import runtimes
import small_export

from dim_tf.export import serving
from dim_tf.export.convert import Source


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


def test_each_runtime_and_batch_is_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(runtimes, "seconds_of", lambda call: call() is None or 0.5)
    small_export.save(tmp_path / "1")
    serving.write_warmup(tmp_path / "1", "small", small_export.images())
    values = runtimes.measure(Source.load(tmp_path / "1"), [], [], "", 2)
    assert set(values) == {(name, n) for name in ("TensorFlow", "LiteRT") for n in (1, 64)}
    assert all(seconds == [0.5, 0.5] for seconds in values.values())
