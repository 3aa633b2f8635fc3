"""What each estimator, critic and task of the objective reaches on CIFAR-10, at one small budget.

    python benchmarks/objectives.py --data_dir=$TFDS_DATA_DIR --out=runs/objectives

Trains basic32x32 for each row in a process of its own, measures conv, fc and global by an MLP
probe (the authors' recipe, one seed) and global by nearest neighbours, collects the rows in
results.json and prints a Markdown table. Stopped at any point, it goes on where it was: a begun row
from its checkpoint, a finished one not at all. --rows gives the names of some rows.
"""

import argparse
import json
from pathlib import Path

import trained_rows
from trained_rows import MEASURES

from dim_tf.files import replace_text

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


def row_of(name: str) -> trained_rows.Row:
    """What is trained and measured for a row of the table."""
    folder = name.replace(" ", "_").replace(",", "")
    return trained_rows.Row(folder, folder, {**COMMON, **ROWS[name]})


def table(results: dict) -> str:
    """The finished rows in Markdown, in percent; a row that is not finished is named as such."""
    lines = [
        "| objective | epochs | MLP conv | MLP fc | MLP global | kNN global |",
        "|---|---|---|---|---|---|",
    ]
    for name, settings in ROWS.items():
        row = results.get(name)
        cells = [f"{100 * row[m]:.1f}" for m in MEASURES] if row else ["not run"] * len(MEASURES)
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
        failed += not trained_rows.run([row_of(name)], arguments.out, arguments.data_dir)
        results = {name: figures for name in ROWS if (figures := row_of(name).read(arguments.out))}
        replace_text(arguments.out / "results.json", json.dumps(results, indent=1) + "\n")
    print(table(results))
    raise SystemExit(min(failed, 1))


if __name__ == "__main__":
    main()
