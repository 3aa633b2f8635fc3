"""Measures encoders after some epochs and seconds of training, for named recipes.

    python benchmarks/quality.py --data_dir=$TFDS_DATA_DIR --validation_fraction=0.1
    python benchmarks/quality.py --data_dir=$TFDS_DATA_DIR --recipes authors --epochs 10 --seeds 0 1

Trains basic32x32 on CIFAR-10 by recipes of `RECIPES` (by default those of `SHOWN`) for each number
of epochs, in separate processes, and measures conv, fc and global by the MLP probe (the authors'
recipe) and global by nearest neighbours. Collects the rows of OUT with this --validation_fraction,
including those of earlier commands, in OUT/quality.json, prints them as a Markdown table, and draws
OUT/minutes.png and OUT/epochs.png: accuracy against minutes of training and epochs. With
--validation_fraction=0.1 it measures on held-out training images, by which recipes are chosen.
Seconds are those of the training steps, without start, checkpoints and measuring; they need a quiet
machine.

A recipe with a constant learning rate is one run that is continued from budget to budget. The same
command resumes after an interruption; several processes with the same --out share the rows.
"""

import argparse
import itertools
import json
import statistics
from pathlib import Path

import training_rows
from training_rows import METRICS, TITLES

from dim_tf.evaluation.report import paper
from dim_tf.system.files import atomic_write_text

COMMON = {
    "dataset": "cifar10",
    "encoder": "basic32x32",
    "batch_size": 64,
    "checkpoint_every": 400,
}
DIM = {"estimator": "infonce", "gamma": 0.0, "critic_units": 512}
BFLOAT16 = {"precision": "bfloat16"}
COSINE = {**BFLOAT16, "schedule": "cosine", "warmup_steps": 200}
LARGE = {**COSINE, "batch_size": 256, "learning_rate": 1e-3}
HALF = {"color_jitter_strength": 0.5}
CROPS = {"min_crop_scale": 0.2}
DECAY = {"weight_decay": 0.05}
QUARTER = {"locations": 16}  # of the 64 locations of basic32x32's local map
T02, T01, T005, T002 = ({"critic_temperature": t} for t in (0.2, 0.1, 0.05, 0.02))
U128, U64 = ({"critic_units": units} for units in (128, 64))
SIMCLR = {**LARGE, "model": "simclr", "temperature": 0.2}
SIMCLR_B = {**SIMCLR, **HALF, **CROPS}
VICREG = {**LARGE, "model": "vicreg"}
AMDIM = {**DIM, **LARGE, "views": 2, "pairs": "global-local,global-conv,conv-conv"}
GLOBAL = {**AMDIM, **HALF, "pairs": "global-global"}
BOTH = {**AMDIM, "batch_size": 128, "pairs": "global-global,global-local"}
BOTH_HALF = {**BOTH, **HALF}
BOTH_256 = {**BOTH_HALF, **QUARTER, "batch_size": 256}
TWO_VIEWS = {**DIM, **COSINE, "batch_size": 128, "views": 2, "symmetric": False}
TWO_VIEWS_T02 = {**TWO_VIEWS, **HALF, **T02, "learning_rate": 1e-3}
BOTH_128 = {**BOTH_256, **T02, **U128}
GLOBAL_128 = {**GLOBAL, **T02, **U128}
LOCAL = {**BOTH_128, **CROPS, **DECAY}
FAST = {**GLOBAL, **T02, **CROPS, **DECAY}


def tasks(coordinates: float, relative: float) -> dict:
    """The weights of both coordinate tasks."""
    return {"coordinates": coordinates, "relative_coordinates": relative}


RECIPES = {
    # One view.
    "authors": DIM,  # the authors' infonce with fewer units
    "authors, jsd": {**DIM, "estimator": "jsd"},
    "bfloat16": {**DIM, **BFLOAT16},
    "bfloat16, temperature 0.2": {**DIM, **BFLOAT16, **T02},
    "bfloat16, temperature 0.05": {**DIM, **BFLOAT16, **T005},
    "bfloat16, temperature 0.02": {**DIM, **BFLOAT16, **T002},
    "cosine": {**DIM, **COSINE, "learning_rate": 3e-4},
    "crops": {**DIM, **COSINE, "learning_rate": 3e-4, "augmentation": "natural"},
    # Two views by SimCLR and VICReg, in batches of 256 unless stated otherwise.
    "simclr": SIMCLR,
    "simclr, temperature 0.5": {**SIMCLR, "temperature": 0.5},
    "simclr, temperature 0.5, batch 128": {**SIMCLR, "temperature": 0.5, "batch_size": 128},
    "simclr, batch 512": {**SIMCLR, "batch_size": 512, "learning_rate": 2e-3},
    "simclr, smaller crops": {**SIMCLR, "min_crop_scale": 0.15},
    "simclr, weight decay": {**SIMCLR, **DECAY},
    "simclr, color jitter 0.25": {**SIMCLR, "color_jitter_strength": 0.25},
    "simclr, color jitter 0.5": {**SIMCLR, **HALF},  # A of docs/EXPERIMENTS.md
    "simclr, color jitter 0.5, temperature 0.5": {**SIMCLR, **HALF, "temperature": 0.5},
    "simclr, color jitter 0.5, temperature 0.1": {**SIMCLR, **HALF, "temperature": 0.1},
    "simclr, B": SIMCLR_B,
    "simclr, B, temperature 0.1": {**SIMCLR_B, "temperature": 0.1},
    "simclr, B, twice the rate": {**SIMCLR_B, "learning_rate": 2e-3},
    "simclr, B, batch 512": {**SIMCLR_B, "learning_rate": 2e-3, "batch_size": 512},
    "simclr, C": {**SIMCLR_B, **DECAY},
    "vicreg": VICREG,
    "vicreg, C": {**VICREG, **HALF, **CROPS, **DECAY},
    # Two views by Deep InfoMax's infoNCE and dot-product critic: full color jitter, batches of 128.
    "two views": {**TWO_VIEWS, "learning_rate": 5e-4},
    "multi-scale": {**AMDIM, "batch_size": 128},
    "global to both": BOTH,
    # With half the color jitter.
    "global to both, half": BOTH_HALF,
    "global to both, half, temperature 0.2": {**BOTH_HALF, **T02},
    "global to both, half, temperature 0.1": {**BOTH_HALF, **T01},
    "global to both, half, temperature 0.2, crops, decay": {**BOTH_HALF, **T02, **CROPS, **DECAY},
    "global to both, half, fewer locations": {**BOTH_HALF, **QUARTER},
    "global to local, half, temperature 0.2": {**BOTH_HALF, **T02, "pairs": "global-local"},
    "global to global, half, temperature 0.2": {**BOTH_HALF, **T02, "pairs": "global-global"},
    "V": TWO_VIEWS_T02,
    "V, coordinates": {**TWO_VIEWS_T02, **tasks(1.0, 0.0)},
    "V, both tasks": {**TWO_VIEWS_T02, **tasks(1.0, 1.0)},
    # Half the color jitter, batches of 256; a quarter of the locations unless stated otherwise.
    "global to both, 256": BOTH_256,
    "global to both, 256, temperature 0.2": {**BOTH_256, **T02},
    "global to both, 256, temperature 0.1": {**BOTH_256, **T01},
    "global to both, 256, temperature 0.05": {**BOTH_256, **T005},
    "global to both, 256, temperature 0.2, crops, decay": {**BOTH_256, **T02, **CROPS, **DECAY},
    "global to both, 256, temperature 0.1, crops, decay": {**BOTH_256, **T01, **CROPS, **DECAY},
    "global to both, 256, all locations, temperature 0.2": {**BOTH_256, **T02, "locations": 0},
    "global to both, 256, all locations, temperature 0.2, crops, decay": {
        **BOTH_256,
        **T02,
        **CROPS,
        **DECAY,
        "locations": 0,
    },
    "L": BOTH_128,  # as docs/EXPERIMENTS.md, section 10, names it; so are G and V
    "L, both tasks": {**BOTH_128, **tasks(1.0, 1.0)},
    "L, both tasks at 0.1": {**BOTH_128, **tasks(0.1, 0.1)},
    "local": LOCAL,  # flags/cifar10_local.cfg
    "local, temperature 0.1": {**LOCAL, **T01},
    "local, 64 units": {**LOCAL, **U64},
    "global to global, 256": GLOBAL,
    "global to global, 256, temperature 0.2": {**GLOBAL, **T02},
    "global to global, 256, temperature 0.1": {**GLOBAL, **T01},
    "global to global, 256, temperature 0.1, crops, decay": {**GLOBAL, **T01, **CROPS, **DECAY},
    "G": GLOBAL_128,
    "G, coordinates": {**GLOBAL_128, **tasks(1.0, 0.0)},
    "G, both tasks": {**GLOBAL_128, **tasks(1.0, 1.0)},
    "G, both tasks at 0.1": {**GLOBAL_128, **tasks(0.1, 0.1)},
    "G, both tasks at 3": {**GLOBAL_128, **tasks(3.0, 3.0)},
    "fast": FAST,  # flags/cifar10_fast.cfg
    "fast, 128 units": {**FAST, **U128},
    "global and fc to themselves, 256": {**GLOBAL, "pairs": "global-global,fc-fc"},
    "global and fc to themselves, and to local, 256": {
        **BOTH_256,
        "pairs": "global-global,fc-fc,global-local",
    },
    "global to itself, conv and local, 256": {
        **BOTH_256,
        "pairs": "global-global,global-conv,global-local",
    },
}


def flags_of(recipe: dict) -> dict:
    """A recipe by the names of flags: settings of another model than dim begin with its name."""
    model = recipe.get("model", "dim")
    model_settings = ("temperature", *HALF, *CROPS) if model != "dim" else ()
    return {
        f"{model}.{name}" if name in model_settings else name: value
        for name, value in recipe.items()
    }


SHOWN = ["authors", "authors, jsd", "simclr, C", "fast"]


def folder_of(row: dict) -> str:
    """Name of the run folder of a row; budgets with a constant learning rate share it."""
    name = row["recipe"].replace(" ", "_").replace(",", "")
    length = f"-{row['epochs']}" if "schedule" in RECIPES[row["recipe"]] else ""
    held_out = f"-validation{row['validation_fraction']:g}" if row["validation_fraction"] else ""
    return f"{name}{length}{held_out}-seed{row['seed']}"


def settings_of(row: dict) -> dict:
    """Settings of the row's `Experiment`, without paths."""
    settings = {**COMMON, **flags_of(RECIPES[row["recipe"]])}
    return settings | {name: row[name] for name in ("epochs", "seed", "validation_fraction")}


def row_of(row: dict) -> training_rows.Row:
    """The training and the measures of a row of the table."""
    folder = folder_of(row)
    name = f"{folder}-{row['epochs']}epochs"
    return training_rows.Row(name, folder, settings_of(row), probe_seeds=2)


def finished(out: Path, validation_fraction: float) -> list[dict]:
    """The finished rows of all commands with their metrics, in the order of `RECIPES`.

    Args:
        out: Folder of all rows; rows that are of no recipe are left out.
        validation_fraction: Of the rows; metrics of other images do not compare with them.

    Raises:
        SystemExit: a row's recipe had other settings.
    """
    files = [
        (path.stem, json.loads(path.read_text(encoding="utf-8"))["settings"])
        for path in (out / "rows").glob("*.json")
    ]
    files.sort(key=lambda file: (file[1].get("seed", 0), file[1].get("epochs", 0)))
    rows = []
    for recipe in RECIPES:
        for name, settings in files:
            budget = {key: settings.get(key) for key in ("epochs", "seed")}
            row = {"recipe": recipe, "validation_fraction": validation_fraction, **budget}
            if row_of(row).name == name and (metrics := row_of(row).read(out)):
                rows.append({**row, **metrics})
    return rows


def table(rows: list[dict]) -> str:
    """The rows in Markdown, in percent."""
    lines = [
        "| recipe | epochs | seed | seconds | " + " | ".join(TITLES) + " |",
        "|---" * (4 + len(TITLES)) + "|",
    ]
    for row in rows:
        cells = [row["recipe"], row["epochs"], row["seed"], row["seconds"]]
        cells += [f"{100 * row[metric]:.1f}" for metric in METRICS]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def means(rows: list[dict]) -> list[dict]:
    """Means over the seeds of each budget, in the order of the budgets."""
    budgets: dict[int, list[dict]] = {}
    for row in sorted(rows, key=lambda row: row["epochs"]):
        budgets.setdefault(row["epochs"], []).append(row)
    names = ("epochs", "seconds", *METRICS)
    return [
        {name: statistics.fmean(row[name] for row in of_budget) for name in names}
        for of_budget in budgets.values()
    ]


def draw(rows: list[dict], over: str, validation_fraction: float, path: Path) -> None:
    """Draws a panel for each metric with a line for each recipe, the mean over its seeds.

    Args:
        rows: From `finished`.
        over: "minutes" of training or "epochs".
        validation_fraction: Of the rows; 0: they are of the test images, like the paper's values,
            which are then shown too.
        path: Of the PNG.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    paper_values = (
        {} if validation_fraction else paper.values("cifar10", "DIM(L) infoNCE")["mlp_probe"]
    )
    figure, panels = pyplot.subplots(1, len(METRICS), figsize=(14, 3.4), layout="constrained")
    for panel, name, title in zip(panels, METRICS, TITLES, strict=True):
        for recipe in dict.fromkeys(row["recipe"] for row in rows):
            budgets = means([row for row in rows if row["recipe"] == recipe])
            x = [b["epochs"] if over == "epochs" else b["seconds"] / 60 for b in budgets]
            panel.plot(x, [100 * b[name] for b in budgets], "o-", markersize=4, label=recipe)
        if name in paper_values:
            label = f"the paper's infoNCE, {paper.EPOCHS['cifar10']:,} epochs"
            panel.axhline(paper_values[name], color="gray", linestyle="--", label=label)
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
    parser.add_argument("--validation_fraction", type=float, default=0.0)
    arguments = parser.parse_args()
    requested = [
        {
            "recipe": recipe,
            "epochs": epochs,
            "seed": seed,
            "validation_fraction": arguments.validation_fraction,
        }
        for seed in arguments.seeds
        for recipe in arguments.recipes
        for epochs in sorted(arguments.epochs)
    ]
    failed = 0
    for _, rows in itertools.groupby(requested, folder_of):
        failed += not training_rows.run_rows(map(row_of, rows), arguments.out, arguments.data_dir)
        rows_so_far = finished(arguments.out, arguments.validation_fraction)
        atomic_write_text(arguments.out / "quality.json", json.dumps(rows_so_far, indent=1) + "\n")
        for over in ("minutes", "epochs"):
            draw(rows_so_far, over, arguments.validation_fraction, arguments.out / f"{over}.png")
    print(table(finished(arguments.out, arguments.validation_fraction)))
    raise SystemExit(min(failed, 1))


if __name__ == "__main__":
    main()
