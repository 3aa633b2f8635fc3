"""What an encoder is worth after so many epochs and so many seconds, for recipes with a name.

    python benchmarks/quality.py --data_dir=$TFDS_DATA_DIR --holdout=0.1 --out=runs/quality
    python benchmarks/quality.py --data_dir=$TFDS_DATA_DIR --recipes authors --epochs 10 --seeds 0 1

Trains basic32x32 on CIFAR-10 by recipes of `RECIPES`, those of `SHOWN` unless --recipes names
others, for each number of epochs, each in a process of its own, and measures conv, fc and global by
the MLP probe (the authors' recipe) and global by nearest neighbours. Collects the rows of OUT,
those of earlier commands too, in OUT/quality.json, prints them as a Markdown table, and draws
OUT/minutes.png and OUT/epochs.png: accuracy against minutes of training and against epochs.
With --holdout=0.1 figures are of training images that are held out: recipes are chosen by these.
Seconds are those of the training steps, without the start, checkpoints and measuring; they count
where nothing else runs.

A recipe whose learning rate is constant is one run that goes on from budget to budget. Stopped at
any point, the command goes on where it was; several processes with the same --out share the rows.
"""

import argparse
import itertools
import json
import statistics
from pathlib import Path

import trained_rows
from trained_rows import MEASURES, TITLES

from dim_tf.evaluation.report import paper
from dim_tf.files import replace_text

COMMON = {
    "dataset": "cifar10",
    "encoder": "basic32x32",
    "batch_size": 64,
    "checkpoint_every": 400,
}
DIM = {"estimator": "infonce", "gamma": 0.0, "mi_units": 512}
COSINE = {"precision": "bfloat16", "schedule": "cosine", "warmup_steps": 200}
SIMCLR = {
    **COSINE,
    "model": "simclr",
    "batch_size": 256,
    "learning_rate": 1e-3,
    "temperature": 0.2,
}
AMDIM = {**COSINE, "model": "amdim", "mi_units": 512, "batch_size": 128, "learning_rate": 1e-3}
GLOBAL_TO_BOTH = {**AMDIM, "scales": "global-global,global-local"}
HALF = {"colours": 0.5}
LARGER = {**AMDIM, **HALF, "batch_size": 256}
GLOBAL = {"scales": "global-global"}
FEWER_PLACES = {**LARGER, "scales": "global-global,global-local", "locations": 16}
VICREG = {**COSINE, "model": "vicreg", "batch_size": 256, "learning_rate": 1e-3}
SMALLER_CROPS = {**SIMCLR, **HALF, "smallest_crop": 0.2}
DECAY = {"smallest_crop": 0.2, "weight_decay": 0.05}


def at(temperature: float) -> dict[str, float]:
    """The dot-product critics' scores as correlations over a temperature."""
    return {"critic_temperature": temperature}


RECIPES = {
    "authors": DIM,  # the authors' infonce with fewer units
    "authors, jsd": {**DIM, "estimator": "jsd"},
    "bfloat16": {**DIM, "precision": "bfloat16"},
    "bfloat16, temperature 0.2": {**DIM, "precision": "bfloat16", **at(0.2)},
    "bfloat16, temperature 0.05": {**DIM, "precision": "bfloat16", **at(0.05)},
    "bfloat16, temperature 0.02": {**DIM, "precision": "bfloat16", **at(0.02)},
    "cosine": {**DIM, **COSINE, "learning_rate": 3e-4},
    "crops": {**DIM, **COSINE, "learning_rate": 3e-4, "augment": "crop_flip"},
    "two views": {**DIM, **COSINE, "learning_rate": 5e-4, "batch_size": 128, "views": 2},
    "multi-scale": AMDIM,
    "global to global": {**AMDIM, **GLOBAL},
    "global to both": GLOBAL_TO_BOTH,
    "global to both, half the colours": {**GLOBAL_TO_BOTH, **HALF},
    "global to both, fewer places": {**GLOBAL_TO_BOTH, **HALF, "locations": 16},
    "global to both, fewer places, batch 256": FEWER_PLACES,
    "global to global, batch 256": {**LARGER, **GLOBAL},
    "global and fc to themselves": {**LARGER, "scales": "global-global,fc-fc"},
    "global and fc to themselves, and to local": {
        **LARGER,
        "locations": 16,
        "scales": "global-global,fc-fc,global-local",
    },
    "global to itself, conv and local": {
        **LARGER,
        "locations": 16,
        "scales": "global-global,global-conv,global-local",
    },
    "simclr": SIMCLR,
    "simclr, temperature 0.5": {**SIMCLR, "temperature": 0.5},
    "simclr, temperature 0.5, batch 128": {**SIMCLR, "temperature": 0.5, "batch_size": 128},
    "simclr, temperature 0.1": {**SIMCLR, "temperature": 0.1},
    "simclr, batch 512": {**SIMCLR, "batch_size": 512, "learning_rate": 2e-3},
    "simclr, smaller crops": {**SIMCLR, "smallest_crop": 0.15},
    "simclr, weight decay": {**SIMCLR, "weight_decay": 0.05},
    "simclr, half the colours": {**SIMCLR, **HALF},
    "simclr, half the colours, temperature 0.5": {**SIMCLR, **HALF, "temperature": 0.5},
    "simclr, half the colours, temperature 0.1": {**SIMCLR, **HALF, "temperature": 0.1},
    "simclr, a quarter of the colours": {**SIMCLR, "colours": 0.25},
    # In docs/EXPERIMENTS.md "simclr, half the colours" is A, and these are B and C.
    "fast, simclr, no weight decay": SMALLER_CROPS,
    "fast, simclr, no weight decay, temperature 0.1": {**SMALLER_CROPS, "temperature": 0.1},
    "fast, simclr, no weight decay, twice the rate": {**SMALLER_CROPS, "learning_rate": 2e-3},
    "fast, simclr, no weight decay, batch 512": {
        **SMALLER_CROPS,
        "batch_size": 512,
        "learning_rate": 2e-3,
    },
    "fast, simclr": {**SMALLER_CROPS, **DECAY},
    "vicreg": VICREG,
    "fast, vicreg": {**VICREG, **HALF, **DECAY},
    "global to global, temperature 0.2": {**LARGER, **GLOBAL, **at(0.2)},
    "global to global, temperature 0.1": {**LARGER, **GLOBAL, **at(0.1)},
    "global to both, temperature 0.2": {**GLOBAL_TO_BOTH, **HALF, **at(0.2)},
    "global to both, temperature 0.1": {**GLOBAL_TO_BOTH, **HALF, **at(0.1)},
    "global to both, fewer places, temperature 0.2": {**FEWER_PLACES, **at(0.2)},
    "global to both, fewer places, temperature 0.1": {**FEWER_PLACES, **at(0.1)},
    "global to both, fewer places, temperature 0.05": {**FEWER_PLACES, **at(0.05)},
    "fast": {**LARGER, **DECAY, **GLOBAL, **at(0.2)},  # flags/cifar10_fast.cfg
    "fast, temperature 0.1": {**LARGER, **DECAY, **GLOBAL, **at(0.1)},
    "fast, local too": {**FEWER_PLACES, **DECAY, **at(0.2)},
    "fast, local too, temperature 0.1": {**FEWER_PLACES, **DECAY, **at(0.1)},
}

SHOWN = ["authors", "authors, jsd", "fast, simclr", "fast"]


def folder_of(row: dict) -> str:
    """Of a row's run; one whose learning rate is constant goes on in the same."""
    name = row["recipe"].replace(" ", "_").replace(",", "")
    length = f"-{row['epochs']}" if "schedule" in RECIPES[row["recipe"]] else ""
    held_out = f"-holdout{row['holdout']:g}" if row["holdout"] else ""
    return f"{name}{length}{held_out}-seed{row['seed']}"


def settings_of(row: dict) -> dict:
    """Of the row's `Experiment`, without its places."""
    settings = {**COMMON, **RECIPES[row["recipe"]]}
    return settings | {name: row[name] for name in ("epochs", "seed", "holdout")}


def row_of(row: dict) -> trained_rows.Row:
    """What is trained and measured for a row of the table."""
    folder = folder_of(row)
    name = f"{folder}-{row['epochs']}epochs"
    return trained_rows.Row(name, folder, settings_of(row), probe_seeds=2)


def finished(out: Path, holdout: float) -> list[dict]:
    """The rows that are done, by whichever command, with their figures; in the order of `RECIPES`.

    Args:
        out: of all rows.
        holdout: of those that are asked for; figures of other images are not compared with them.
    """
    found = []
    for path in (out / "rows").glob("*.json"):
        told = json.loads(path.read_text(encoding="utf-8"))
        of_run = {name: told["settings"][name] for name in ("epochs", "seed", "holdout")}
        rows = [{"recipe": recipe, **of_run} for recipe in RECIPES]
        # One whose recipe has changed is of none.
        found += [
            {**row, **told["figures"]} for row in rows if settings_of(row) == told["settings"]
        ]
    names = list(RECIPES)
    return sorted(
        (row for row in found if row["holdout"] == holdout),
        key=lambda row: (names.index(row["recipe"]), row["seed"], row["epochs"]),
    )


def table(rows: list[dict]) -> str:
    """In Markdown, in percent."""
    lines = [
        "| recipe | epochs | seed | seconds | " + " | ".join(TITLES) + " |",
        "|---" * (4 + len(TITLES)) + "|",
    ]
    for row in rows:
        cells = [row["recipe"], row["epochs"], row["seed"], row["seconds"]]
        cells += [f"{100 * row[measure]:.1f}" for measure in MEASURES]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def means(rows: list[dict]) -> list[dict]:
    """Over the seeds of each budget, in the order of the budgets."""
    budgets: dict[int, list[dict]] = {}
    for row in sorted(rows, key=lambda row: row["epochs"]):
        budgets.setdefault(row["epochs"], []).append(row)
    names = ("epochs", "seconds", *MEASURES)
    return [
        {name: statistics.fmean(row[name] for row in of_budget) for name in names}
        for of_budget in budgets.values()
    ]


def draw(rows: list[dict], over: str, path: Path) -> None:
    """A panel for each measure, a line for each recipe; of several seeds it is their mean.

    Figures of test images are shown with the paper's.

    Args:
        rows: of `finished`.
        over: "minutes" of training or "epochs".
        path: of the PNG.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    of_test_images = not any(row["holdout"] for row in rows)
    theirs = paper.figures("cifar10", "DIM(L) infoNCE")["mlp_probe"] if of_test_images else {}
    figure, panels = pyplot.subplots(1, len(MEASURES), figsize=(14, 3.4), layout="constrained")
    for panel, name, title in zip(panels, MEASURES, TITLES, strict=True):
        for recipe in dict.fromkeys(row["recipe"] for row in rows):
            budgets = means([row for row in rows if row["recipe"] == recipe])
            x = [b["epochs"] if over == "epochs" else b["seconds"] / 60 for b in budgets]
            panel.plot(x, [100 * b[name] for b in budgets], "o-", markersize=4, label=recipe)
        if name in theirs:
            label = f"the paper, {paper.EPOCHS['cifar10']:,} epochs"
            panel.axhline(theirs[name], color="gray", linestyle="--", label=label)
        panel.set(xlabel="minutes of training" if over == "minutes" else over, title=title)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("accuracy, %")
    panels[0].legend(fontsize="small")
    with path.open("wb") as file:
        figure.savefig(file, dpi=110, format="png")
    pyplot.close(figure)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default="")
    parser.add_argument("--out", type=Path, default=Path("runs/quality"))
    parser.add_argument("--recipes", nargs="+", default=SHOWN, choices=list(RECIPES))
    parser.add_argument("--epochs", nargs="+", type=int, default=[1, 2, 5, 10])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--holdout", type=float, default=0.0)
    arguments = parser.parse_args()
    wanted = [
        {"recipe": recipe, "epochs": epochs, "seed": seed, "holdout": arguments.holdout}
        for seed in arguments.seeds
        for recipe in arguments.recipes
        for epochs in sorted(arguments.epochs)
    ]
    failed = 0
    for _, rows in itertools.groupby(wanted, folder_of):
        failed += not trained_rows.run(map(row_of, rows), arguments.out, arguments.data_dir)
        done = finished(arguments.out, arguments.holdout)
        replace_text(arguments.out / "quality.json", json.dumps(done, indent=1) + "\n")
        draw(done, "minutes", arguments.out / "minutes.png")
        draw(done, "epochs", arguments.out / "epochs.png")
    print(table(finished(arguments.out, arguments.holdout)))
    raise SystemExit(min(failed, 1))


if __name__ == "__main__":
    main()
