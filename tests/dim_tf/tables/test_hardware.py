"""The machine that a table names."""

import os

import pytest

from dim_tf.tables.hardware import describe_machine


@pytest.mark.parametrize(
    ("visible", "shown"), [(None, True), ("0", True), ("", False), ("-1", False)]
)
def test_a_machine_is_described_with_its_visible_gpus(tmp_path, monkeypatch, visible, shown):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho A100\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert describe_machine().endswith(", A100") == shown
