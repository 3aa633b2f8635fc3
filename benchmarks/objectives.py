"""Compares estimators, critics and tasks of the objective on CIFAR-10, at a small budget.

    python benchmarks/objectives.py --data_dir=$TFDS_DATA_DIR --out=runs/objectives

Trains basic32x32 for each row in a separate process, measures conv, fc and global by an MLP probe
(the authors' recipe, one seed) and global by nearest neighbours, collects the rows in results.json
and prints a Markdown table. The same command resumes after an interruption: a finished row is not
trained again, and an unfinished one resumes from its checkpoint. --rows selects rows by name.
"""

import argparse
import json
from pathlib import Path

import training_rows
from training_rows import METRICS

from dim_tf.system.files import atomic_write_text

COMMON = {
    "dataset": "cifar10",
    "encoder": "basic32x32",
    "gamma": 0.0,
    "critic_units": 512,
    "batch_size": 64,
    "learning_rate": 1e-4,
    "checkpoint_every": 400,
}
ESTIMATORS = ("jsd", "infonce", "dv", "nwj", "gan", "rkl", "hellinger", "chi2", "w1")
GLOBAL = {"alpha": 1.0, "beta": 0.0}
ROWS = {
    **{f"{name}, dot": {"estimator": name, "epochs": 2} for name in ESTIMATORS},
    "jsd, concat": {"local_critic": "concat", "epochs": 2},
    **{f"jsd, global {c}": {**GLOBAL, "global_critic": c, "epochs": 2} for c in ("conv", "dense")},
    "jsd, global dot": {**GLOBAL, "global_critic": "dot", "epochs": 2},
    "infonce": {"estimator": "infonce", "epochs": 5},
    "infonce + occlusion": {"estimator": "infonce", "occlusion": True, "epochs": 5},
    "infonce + coordinates": {
        "estimator": "infonce",
        "coordinates": 1.0,
        "relative_coordinates": 1.0,
        "epochs": 5,
    },
    "infonce + two views": {"estimator": "infonce", "views": 2, "epochs": 5},
}


def row_of(name: str) -> training_rows.Row:
    """The training and the measures of a row of the table."""
    folder = name.replace(" ", "_").replace(",", "")
    return training_rows.Row(folder, folder, {**COMMON, **ROWS[name]})


def table(results: dict) -> str:
    """The rows in Markdown, in percent; unfinished rows say "not run"."""
    lines = [
        "| objective | epochs | MLP conv | MLP fc | MLP global | kNN global |",
        "|---|---|---|---|---|---|",
    ]
    for name, settings in ROWS.items():
        row = results.get(name)
        cells = [f"{100 * row[m]:.1f}" for m in METRICS] if row else ["not run"] * len(METRICS)
        lines.append(f"| {name} | {settings['epochs']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default="")
    parser.add_argument("--out", type=Path, default=Path("runs/objectives"))
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    arguments = parser.parse_args()
    failed = 0
    for name in arguments.rows:
        failed += not training_rows.run_rows([row_of(name)], arguments.out, arguments.data_dir)
        results = {n: metrics for n in ROWS if (metrics := row_of(n).read(arguments.out))}
        atomic_write_text(arguments.out / "results.json", json.dumps(results, indent=1) + "\n")
    print(table(results))
    raise SystemExit(min(failed, 1))


if __name__ == "__main__":
    main()
