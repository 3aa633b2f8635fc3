"""Several runs on one page: which is better by what, and what was different."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import combinations
from pathlib import Path
from string import ascii_uppercase
from typing import Any
from urllib.parse import quote

from dim_tf import metrics_file
from dim_tf.errors import InputError
from dim_tf.evaluation.measure import Kind
from dim_tf.evaluation.report import charts, marks, page, tables
from dim_tf.evaluation.report.results import Results, check
from dim_tf.evaluation.report.values import amount, interval, is_number, label, plain
from dim_tf.experiment import LONGEST_NAME
from dim_tf.files import make_folder, read_json

RUNS = Path("runs")
_NO_DIFFERENCE = ("name", "run_dir", "export_dir")


@dataclass(frozen=True)
class Run:
    """A run that is compared.

    Attributes:
        folder: of the run.
        experiment: its settings.
        results: what was measured.
        metrics: the lines of metrics.jsonl; empty where it was not trained.
        letter: on the page.
    """

    folder: Path
    experiment: dict[str, Any]
    results: Results
    metrics: list[dict[str, Any]]
    letter: str = ""

    @property
    def name(self) -> str:
        return str(self.experiment["name"])


def folders(names: str) -> list[Path]:
    """The run folders of --runs.

    Args:
        names: with commas between: names of folders under runs/, or paths.

    Raises:
        InputError: fewer than two, one twice, or one that does not exist.
    """
    found = []
    # A shell leaves the ~ of --runs=~/a,~/b to us.
    for name in (os.path.expanduser(name.strip()) for name in names.split(",")):
        path = next((p for p in (RUNS / name, Path(name)) if name and p.is_dir()), None)
        if path is None:
            raise InputError(
                f"--runs={names}: there is no run folder {name!r}, neither under {RUNS}/ nor as a "
                "path; give names or paths of run folders with commas between"
            )
        found.append(path)
    if len(found) < 2 or len({path.resolve() for path in found}) < len(found):
        raise InputError(f"--runs={names}; expected two or more different run folders")
    if len(found) > len(ascii_uppercase):
        raise InputError(f"--runs: {len(found)} runs; expected at most {len(ascii_uppercase)}")
    return found


def target(runs: Sequence[Path], run_dir: str) -> Path:
    """Where the page goes: RUN_DIR/report.html, else runs/compare-NAMES/report.html.

    Args:
        runs: the run folders.
        run_dir: empty: not given.

    Raises:
        InputError: the names are too long for one folder, or `run_dir` holds a run.
    """
    if run_dir:
        if (Path(run_dir) / "experiment.json").exists():
            raise InputError(
                f"--run_dir={run_dir} holds a run, whose report would be lost; give another folder"
            )
        return Path(run_dir) / "report.html"
    name = "-".join(["compare", *(path.resolve().name for path in runs)])
    if len(name.encode()) > LONGEST_NAME:
        raise InputError(f"{len(runs)} names are too long for a folder's name; give --run_dir")
    return RUNS / name / "report.html"


def write(path: Path, runs: Sequence[Path]) -> None:
    """Writes the page.

    Args:
        path: of the page; its folder is made.
        runs: the run folders.

    Raises:
        InputError: a run that was not evaluated, or by an older version; or the page's folder
            cannot be made.
    """
    compared = _ordered([_read(folder) for folder in runs])
    make_folder(path.parent, "--run_dir")
    shown = [charts.Run(run.letter, run.metrics) for run in compared]
    sections = {
        "Runs": _runs(compared, path.parent),
        "Global feature": _axis(compared),
        "All measures": _measures(compared),
        "Training": charts.curves(shown) if any(run.metrics for run in compared) else "",
        "Different settings": _differences(
            compared, [_without(run.experiment, *_NO_DIFFERENCE) for run in compared]
        ),
        "Different protocols": _differences(
            compared, [run.results.evaluation.get("protocol", {}) for run in compared]
        ),
    }
    kickers = dict.fromkeys(str(run.experiment.get("dataset", "")) for run in compared)
    page.write_page(
        path, f"{len(compared)} runs compared", ", ".join(kickers), _summary(compared), sections
    )


def _read(folder: Path) -> Run:
    found = {}
    for name in ("experiment.json", "evaluation.json"):
        file = folder / name
        if not file.exists():
            raise InputError(f"{folder} has no {name}; run it with --mode=train,evaluate first")
        found[name] = read_json(file, "run --mode=evaluate again")
    if not isinstance(found["experiment.json"].get("name"), str):
        raise InputError(f"{folder / 'experiment.json'} has no name; is {folder} a run folder?")
    results = Results(found["evaluation.json"])
    if not results.is_outdated:
        check(results.evaluation, folder / "evaluation.json")
    if results.is_outdated or not results.kinds:
        why = "is of an older version" if results.is_outdated else "has no measures"
        raise InputError(f"{folder / 'evaluation.json'} {why}; run --mode=evaluate with this one")
    metrics = metrics_file.read(folder / "metrics.jsonl")
    return Run(folder, found["experiment.json"], results, metrics)


def _common_headline(runs: Sequence[Run]) -> str | None:
    """The first run's measure that sums up, if all have it."""
    name = runs[0].results.headline
    values = [run.results.values(name).get("global") for run in runs] if name else [None]
    return name if all(is_number(value) for value in values) else None


def _ordered(runs: list[Run]) -> list[Run]:
    """The best first where one measure sums them all up, with their letters."""
    if measure := _common_headline(runs):
        runs = sorted(runs, key=lambda run: -run.results.values(measure)["global"])
    return [
        Run(run.folder, run.experiment, run.results, run.metrics, letter)
        for run, letter in zip(runs, ascii_uppercase, strict=False)
    ]


def _summary(runs: Sequence[Run]) -> str:
    measure = _common_headline(runs)
    if measure is None:
        text = "No one accuracy of the global feature was measured of all runs."
    else:
        kind = runs[0].results.kinds[measure]
        told = [
            f"<strong>{run.letter}</strong>&nbsp;{escape(run.name)} "
            f"({amount(kind, run.results.values(measure)['global'])})"
            for run in runs
        ]
        text = f"By the {escape(kind.title)} on the global feature, best first: {', '.join(told)}."
    for what, values in _of_images(runs).items():
        if len(different := dict.fromkeys(values)) > 1:
            text += (
                f'</p><p class="warning">These runs are of different {what} '
                f"({escape(', '.join(different))}); their figures are not comparable."
            )
            break  # others follow from it
    return text


def _of_images(runs: Sequence[Run]) -> dict[str, list[str]]:
    """What must be the same for figures to be comparable: each run's, where it tells."""
    held_out = [float(run.experiment.get("validation_fraction", 0)) for run in runs]
    protocols = [run.results.evaluation.get("protocol", {}) for run in runs]
    return {
        "data sets": [str(run.experiment.get("dataset")) for run in runs],
        "test images": [f"{100 * x:g} % held out" if x else "the data set's" for x in held_out],
        "copies of the images": [str(p["images"]) for p in protocols if "images" in p],
        "labels": [str(p["labels_seen"]) for p in protocols if "labels_seen" in p],
    }


def _runs(runs: Sequence[Run], where: Path) -> str:
    """Each run's name, what it is, its summary, and a link to its report."""
    items = ""
    for index, run in enumerate(runs):
        report = run.folder / "report.html"
        name = escape(run.name)
        if report.exists():
            link = quote(os.path.relpath(report.resolve(), where.resolve()).replace(os.sep, "/"))
            name = f'<a href="{escape(link)}">{name}</a>'
        letter = f'<i class="dot letter">{run.letter}</i>'
        what = escape(page.kicker(run.experiment))
        items += (
            f'<div class="run-card s{index % charts.COLOURS}">{letter}<p><b>{name}</b> '
            f'<span class="soft">{what}</span><br>{run.results.summary()}</p></div>'
        )
    return f'<div class="run-cards">{items}</div>'


def _axis(runs: Sequence[Run]) -> str:
    measures = dict.fromkeys(m for run in runs for m in run.results.ranking)
    lines = []
    for measure in measures:
        kind = _kind(runs, measure)
        found = []
        for index, run in reversed(list(enumerate(runs))):
            value = run.results.values(measure).get("global")
            if is_number(value):
                ends = interval(run.results.uncertainty(measure, "global"))
                text = f"{run.letter} {escape(run.name)}: {amount(kind, value)}"
                css = f"letter s{index % charts.COLOURS}"
                found.append(marks.Mark(value, text, css, run.letter, ends))
        order = sorted(found, key=lambda mark: -mark.value)
        lines.append(marks.Line(kind, found, " ".join(mark.letter for mark in order)))
    if not lines:
        return ""
    note = "Letters: the runs, at the right the best first. Bars: 95% intervals where known."
    return f'{marks.axis(lines)}<p class="note">{note}</p>'


def _kind(runs: Sequence[Run], measure: str) -> Kind:
    return next(run.results.kinds[measure] for run in runs if measure in run.results.kinds)


def _measures(runs: Sequence[Run]) -> str:
    """Measure and endpoint × run, the best marked."""
    names = dict.fromkeys(name for run in runs for name in run.results.kinds)
    body = "".join(_measure(runs, name) for name in names)
    columns = [
        f'<span class="s{index % charts.COLOURS}"><i class="dot letter">{run.letter}</i></span> '
        f'<span class="name">{escape(run.name)}</span>'
        for index, run in enumerate(runs)
    ]
    note = (
        "↑ higher is better, ↓ lower is better; where there is no arrow, the measure ranks "
        'nothing. <span class="best">Bold on colour</span>: the best of a row. ≈: not told apart '
        "from the best, as the 95% intervals overlap."
    )
    table = tables.table("All measures", columns, body, css="runs")
    return f'{table}<p class="note">{note}</p>'


def _measure(runs: Sequence[Run], measure: str) -> str:
    kind = _kind(runs, measure)
    endpoints = list(dict.fromkeys(e for run in runs for e in run.results.endpoints(measure)))
    rows = tables.row(tables.title(kind), [f'<td colspan="{len(runs)}"></td>'])
    for endpoint in endpoints:
        values = [run.results.values(measure).get(endpoint) for run in runs]
        doubts = [interval(run.results.uncertainty(measure, endpoint)) for run in runs]
        rows += tables.row(escape(endpoint), _cells(kind, values, doubts), css="member")
    for floor in dict.fromkeys(name for run in runs for name in run.results.floors(measure)):
        of_runs = [run.results.floors(measure).get(floor, {}) for run in runs]
        values = [values.get("global", values.get("pixels")) for values in of_runs]
        where = "" if floor == "pixels" else ", global"
        cells = [f"<td>{amount(kind, value)}</td>" for value in values]
        rows += tables.row(label(floor) + where, cells, css="floor")
    return f"<tbody>{rows}</tbody>"


def _cells(kind: Kind, values: list[Any], doubts: list[tuple[float, float] | None]) -> list[str]:
    best = tables.best_of(values, kind)
    around = next((d for v, d in zip(values, doubts, strict=True) if v == best and d), None)
    cells = []
    for value, ends in zip(values, doubts, strict=True):
        text = amount(kind, value)
        if is_number(value) and value == best:
            text = f'<strong class="best">{text}</strong>'
        elif best is not None and around and ends and _overlap(around, ends):
            text = f'<span title="not told apart from the best">≈ {text}</span>'
        told = f"95% interval {amount(kind, ends[0])} to {amount(kind, ends[1])}" if ends else ""
        cells.append(f'<td title="{told}">{text}</td>')
    return cells


def _overlap(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] <= b[1] and b[0] <= a[1]


def _without(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}


def _differences(runs: Sequence[Run], entries: Sequence[dict[str, Any]]) -> str:
    """Entry × run, of those that are not the same in all runs; empty without any."""
    names = dict.fromkeys(name for of_run in entries for name in of_run)
    missing = object()
    rows = ""
    for name in names:
        values = [of_run.get(name, missing) for of_run in entries]
        if all(a == b for a, b in combinations(values, 2)):
            continue
        cells = [
            f'<td class="text">{"–" if value is missing else plain(value) or "(empty)"}</td>'
            for value in values
        ]
        rows += tables.row(escape(name), cells)
    if not rows:
        return ""
    columns = [f"{run.letter} {escape(run.name)}" for run in runs]
    return tables.table("Differences", columns, f"<tbody>{rows}</tbody>", css="differences")
