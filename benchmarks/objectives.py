"""What each estimator, critic and task of the objective reaches on CIFAR-10, at one small budget.

    python benchmarks/objectives.py --data_dir=$TFDS_DATA_DIR --out=runs/objectives

Trains basic32x32 for each row in a process of its own, measures conv, fc and global by an MLP
probe (the authors' recipe, one seed) and global by nearest neighbours, and adds the row to
results.json, of which it prints a Markdown table. Stopped at any point, it goes on where it was: a
begun row from its checkpoint, a finished one not at all. --rows gives the names of some rows.
"""

import argparse
import json
import multiprocessing
from pathlib import Path

COMMON = {
    "dataset": "cifar10",
    "encoder": "basic32x32",
    "gamma": 0.0,
    "mi_units": 512,
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
MEASURES = ("conv", "fc", "global", "knn")


def measure(name: str, data_dir: str, out: Path, answer) -> None:
    """Trains and measures one row; puts a dict of its figures into the queue `answer`."""
    from dim_tf import data, metrics_file
    from dim_tf.evaluation import excerpt, representation
    from dim_tf.evaluation.neighbours import NearestNeighbours
    from dim_tf.evaluation.probes import Probe
    from dim_tf.experiment import Experiment
    from dim_tf.training import loop
    from dim_tf.training.model import load_trained

    folder = name.replace(" ", "_").replace(",", "")
    experiment = Experiment(
        name=folder, run_dir=str(out / folder), data_dir=data_dir, **{**COMMON, **ROWS[name]}
    )
    splits = data.load(experiment.dataset, experiment.data_request)
    loop.train(experiment, splits)
    model, step = load_trained(experiment, splits)
    features = representation.of_encoder(model.encoder, excerpt.of(splits))
    # Of all steps, those before an interruption too.
    lines = metrics_file.read(experiment.run_path / "metrics.jsonl", step)
    seconds = sum(experiment.batch_size / line["images_per_second"] for line in lines)
    found = {"epochs": experiment.epochs, "steps": step, "seconds": round(seconds)}
    for result in Probe(features, True, 10, 1).run():
        found[result.endpoint] = result.value
    for result in NearestNeighbours(features).run():
        if result.endpoint == "global":
            found["knn"] = result.value
    answer.put(found)


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
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "results.json"
    # A fresh process has no graphs of the row before; spawned, because TensorFlow cannot be forked.
    context = multiprocessing.get_context("spawn")
    for name in arguments.rows:
        results = json.loads(path.read_text()) if path.exists() else {}
        if name in results:
            continue
        answer = context.Queue()
        process = context.Process(
            target=measure, args=(name, arguments.data_dir, arguments.out, answer)
        )
        process.start()
        process.join()
        if process.exitcode:
            print(f"{name}: failed with status {process.exitcode}", flush=True)
            continue
        results[name] = answer.get()
        temporary = path.with_name(".results.json")
        temporary.write_text(json.dumps(results, indent=1) + "\n")
        temporary.replace(path)
        print(name, results[name], flush=True)
    print(table(json.loads(path.read_text()) if path.exists() else {}))


if __name__ == "__main__":
    main()
