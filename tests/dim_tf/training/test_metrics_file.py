"""metrics.jsonl has each step once, whatever happened to it."""

import json

import pytest

from dim_tf.training import metrics_file


def lines(*steps):
    return [json.dumps({"step": step, "loss": 0.5}) for step in steps]


@pytest.mark.parametrize(("step", "kept"), [(0, []), (2, [1, 2]), (9, [1, 2, 3])])
def test_cut_back_keeps_each_step_once(tmp_path, step, kept):
    file = tmp_path / "metrics.jsonl"
    file.write_text("\n".join(lines(1, 2, 3)) + "\n")
    metrics_file.truncate_after(file, step)
    assert file.read_text().splitlines() == lines(*kept)


def test_a_line_that_was_not_finished_is_no_damage(tmp_path, capsys):
    file = tmp_path / "metrics.jsonl"
    assert metrics_file.read(file) == []
    file.write_text(lines(1)[0] + '\n{"step": 2, "lo')
    metrics_file.truncate_after(file, 5)
    assert file.read_text().splitlines() == lines(1)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "damaged",
    [
        "{",
        "[1]",
        "[" * 10_000,
        '"step"',
        '{"step": "2"}',
        '{"step": 1, "loss": 0.5}',
        '{"step": 2, "loss": NaN}',
    ]
    + ['{"step": 2, "loss": "0.5"}', '{"tep": 2}', "", "\x00"],
)
def test_damaged_lines_are_left_out_and_reported(tmp_path, capsys, damaged):
    file = tmp_path / "metrics.jsonl"
    file.write_text("\n".join([*lines(1), damaged, *lines(3, 4)]))
    metrics_file.truncate_after(file, 3)
    assert file.read_text().splitlines() == lines(1, 3)
    assert capsys.readouterr().out == f"{file}: 1 damaged lines are left out\n"


def test_bytes_that_are_no_text(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(lines(1)[0].encode() + b"\n\xff\xfe\n" + lines(2)[0].encode())
    assert [entry["step"] for entry in metrics_file.read(file)] == [1, 2]
