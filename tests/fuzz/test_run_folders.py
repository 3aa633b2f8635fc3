"""Any files of run folders: a page of their comparison, or an InputError."""

import json
import re
from pathlib import Path

import fuzzing
from hypothesis import strategies as st
from sample_report import EVALUATION, EXPERIMENT, metrics_lines

from dim_tf.evaluation import card_metrics, compare
from dim_tf.evaluation.report import results
from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError, one_line
from dim_tf.system.json_files import read_json
from dim_tf.training import metrics_file

SETTINGS = json.loads(Experiment.of(**EXPERIMENT, run_dir="runs/a").to_json())
RECORDED = metrics_lines(5, loss=lambda step: 1 / step, online_probe=lambda step: 0.1 * step)


@st.composite
def run_folders(draw):
    """The three files' texts; mostly one of them is mutated."""
    which = draw(st.sampled_from(["experiment", "evaluation", "evaluation", "metrics", "all"]))

    def text(name, base):
        wrong = which in (name, "all")
        return draw(fuzzing.json_texts(base)) if wrong else json.dumps(base)

    recorded = [text("metrics", line) for line in RECORDED]
    return text("experiment", SETTINGS), text("evaluation", EVALUATION), "\n".join(recorded)


def outcome(folder, texts):
    names = ("experiment.json", "evaluation.json", "metrics.jsonl")
    for name, text in zip(names, texts, strict=True):
        (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    metrics_file.truncate_after(folder / "metrics.jsonl", 3)
    assert all(entry["step"] <= 3 for entry in metrics_file.read(folder / "metrics.jsonl", 9))
    (folder / "metrics.jsonl").write_bytes(texts[-1].encode("utf-8", "surrogatepass"))
    page = folder / "page.html"
    try:
        compare.write_comparison(page, [Path("good"), folder])
        measured = read_json(folder / "evaluation.json", "")
        results.check(measured, folder / "evaluation.json")
    except InputError as error:
        return "refused" if fuzzing.is_one_line(one_line(error)) else f"badly told: {error!r}"
    text = page.read_text(encoding="utf-8")
    assert text.count("<script") == 1
    assert "<img src=x" not in text
    assert len(text) < 10**6
    card = card_metrics.render(measured)
    assert not re.search(r"(?<!\\)[<>]", card)
    return "accepted"


@fuzzing.sizes(5_000)
def test_any_run_folder(cases, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("good", "other"):
        Path(name).mkdir()
        Path(name, "experiment.json").write_text(json.dumps(SETTINGS))
        Path(name, "evaluation.json").write_text(json.dumps(EVALUATION))
    fuzzing.run("run folders", run_folders(), lambda case: outcome(Path("other"), case), cases)
