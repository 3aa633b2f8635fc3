"""Replaces `python -m dim_tf.main` in the tests of tables: it neither trains nor measures.

A step is a line of steps.txt, so that repeated steps show. Environment variables:
    FAKE_STEPS: number of steps, of 0.02 s each.
    FAKE_STEP: step of the checkpoint.
    FAKE_SAVES: seconds that stopping takes.
    FAKE_FAILS: stage that fails.
    FAKE_LACKS: measure that fails.
    FAKE_LACKS_REFERENCE: measure that fails for raw pixels.
    FAKE_DAMAGES: if not empty, evaluation.json is cut off.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

ENDPOINTS = {"mlp": ("mlp_probe", ("conv", "fc", "global")), "svm": ("svm", ("conv",))}


def main(flags):
    folder = Path(flags["run_dir"])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "stages.txt").open("a") as file:
        file.write(f"{flags['mode']} {flags.get('measures', '')}\n")
    if os.environ.get("FAKE_FAILS") == flags["mode"]:
        print(f"error: {folder} was to fail", file=sys.stderr)
        return 1
    return train(folder) if flags["mode"] == "train" else evaluate(folder, flags)


def train(folder):
    signals = []
    signal.signal(signal.SIGTERM, lambda number, frame: signals.append(number))
    (folder / "checkpoints").mkdir(exist_ok=True)
    in_use = folder / "in_use"
    os.close(os.open(in_use, os.O_CREAT | os.O_EXCL))  # two at once would fail here
    try:
        steps = folder / "steps.txt"
        done = len(steps.read_text().splitlines()) if steps.exists() else 0
        for step in range(done + 1, int(os.environ.get("FAKE_STEPS", "2")) + 1):
            time.sleep(0.02)
            with steps.open("a") as file:
                file.write(f"{step}\n")
            if signals:
                time.sleep(float(os.environ.get("FAKE_SAVES", "0")))
                return 143
    finally:
        in_use.unlink()
    return 0


def evaluate(folder, flags):
    lacks = os.environ.get("FAKE_LACKS", "")
    measures = [name for name in flags["measures"].split(",") if name in ENDPOINTS]
    protocol = {"step": int(os.environ.get("FAKE_STEP", "2")), "budget_steps": 2}
    evaluation = {"measures": {}, "protocol": protocol, "references": {}}
    for name in measures:
        if name == lacks:
            evaluation["protocol"][name] = "failed: it diverged"
            continue
        metric, endpoints = ENDPOINTS[name]
        value = 0.5 + 0.1 * int(flags.get("seed", "0"))
        evaluation[metric] = dict.fromkeys(endpoints, value)
        if os.environ.get("FAKE_LACKS_REFERENCE") == name:
            evaluation["protocol"][f"{name} of raw pixels"] = "failed: it diverged"
        elif flags.get("references") != "false":
            random_values = dict.fromkeys(endpoints, 0.125)
            evaluation["references"] = {
                "random_weights": {metric: random_values},
                "pixels": {metric: {"pixels": 0.25}},
            }
    text = json.dumps(evaluation)
    (folder / "evaluation.json").write_text(text[:-1] if os.environ.get("FAKE_DAMAGES") else text)
    return 1 if {lacks, os.environ.get("FAKE_LACKS_REFERENCE")} & set(measures) else 0


if __name__ == "__main__":
    sys.exit(main(dict(flag[2:].split("=", 1) for flag in sys.argv[1:])))
