"""`write_comparison`: several runs on one page, with their metrics and their differences."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from string import ascii_uppercase
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from dim_tf.evaluation.measure import MetricInfo
from dim_tf.evaluation.report import charts
from dim_tf.evaluation.report.dot_plot import Dot, Line, dot_plot
from dim_tf.evaluation.report.formatting import (
    confidence_interval,
    format_interval,
    format_setting,
    format_value,
    is_number,
)
from dim_tf.evaluation.report.metric_tables import best_value
from dim_tf.evaluation.report.page import describe_training, render_page
from dim_tf.evaluation.report.rendering import render
from dim_tf.evaluation.report.results import Results, check, reference_value
from dim_tf.experiment import LONGEST_NAME, Experiment
from dim_tf.system.errors import InputError, one_line
from dim_tf.system.files import atomic_write_text, make_folder, read_text
from dim_tf.system.json_files import read_json
from dim_tf.training import metrics_file

RUNS = Path("runs")
_UNCOMPARED_SETTINGS = ("name", "run_dir", "export_dir")


@dataclass(frozen=True)
class Run:
    """A run that is compared.

    Attributes:
        folder: Its run folder.
        experiment: Its settings.
        results: Its metrics.
        training_metrics: The lines of metrics.jsonl; empty if it was not trained.
        letter: Its short name on the page.
        color: Its colour on the page, from the style sheet.
    """

    folder: Path
    experiment: dict[str, Any]
    results: Results
    training_metrics: list[dict[str, Any]]
    letter: str = ""
    color: int = 0

    @property
    def name(self) -> str:
        return str(self.experiment["name"])

    @property
    def description(self) -> str:
        return describe_training(self.experiment)


def run_folders(names: str) -> list[Path]:
    """The run folders of --runs.

    Args:
        names: Names of folders under runs/, or paths, separated by commas.

    Raises:
        InputError: There are fewer than two, one is given twice, or one does not exist.
    """
    folders = []
    # In --runs=~/a,~/b a shell leaves the ~ to us.
    for name in (os.path.expanduser(name.strip()) for name in names.split(",")):
        path = next((p for p in (RUNS / name, Path(name)) if name and p.is_dir()), None)
        if path is None:
            raise InputError(
                f"--runs={names}: there is no run folder {name!r}, neither under {RUNS}/ nor as a "
                "path; give names or paths of run folders with commas between"
            )
        folders.append(path)
    if len(folders) < 2 or len({path.resolve() for path in folders}) < len(folders):
        raise InputError(f"--runs={names}; expected two or more different run folders")
    if len(folders) > len(ascii_uppercase):
        raise InputError(f"--runs: {len(folders)} runs; expected at most {len(ascii_uppercase)}")
    return folders


def page_path(folders: Sequence[Path], run_dir: str) -> Path:
    """The path of the page: RUN_DIR/report.html, or else runs/compare-NAMES/report.html.

    Args:
        folders: The run folders.
        run_dir: --run_dir; empty if it was not given.

    Raises:
        InputError: The names are too long for one folder, or `run_dir` holds a run.
    """
    if run_dir:
        if (Path(run_dir) / "experiment.json").exists():
            raise InputError(
                f"--run_dir={run_dir} holds a run, whose report would be lost; give another folder"
            )
        return Path(run_dir) / "report.html"
    name = "-".join(["compare", *(path.resolve().name for path in folders)])
    if len(name.encode()) > LONGEST_NAME:
        raise InputError(f"{len(folders)} names are too long for a folder's name; give --run_dir")
    return RUNS / name / "report.html"


def write_comparison(path: Path, folders: Sequence[Path]) -> None:
    """Writes the page.

    Args:
        path: Path of the page; its folder is created.
        folders: The run folders.

    Raises:
        InputError: A run was not evaluated, or was evaluated by an older version; or the page's
            folder cannot be created.
    """
    runs = _ranked([_read(folder) for folder in folders])
    make_folder(path.parent, "--run_dir")
    curves = [charts.Run(run.letter, run.training_metrics) for run in runs]
    was_trained = any(run.training_metrics for run in runs)
    sections = {
        "Runs": _run_cards(runs, path.parent),
        "Features": _dot_plot(runs),
        "All measures": _metrics_table(runs),
        "Training": charts.training_curves(curves) if was_trained else Markup(),
        "Different settings": _differences(
            runs, [_without(run.experiment, *_UNCOMPARED_SETTINGS) for run in runs]
        ),
        "Different protocols": _differences(
            runs, [run.results.evaluation.get("protocol", {}) for run in runs]
        ),
    }
    datasets = dict.fromkeys(str(run.experiment.get("dataset", "")) for run in runs)
    page = render_page(
        f"{len(runs)} runs compared",
        ", ".join(datasets),
        _summary(runs),
        sections,
        warning=_warning(runs),
    )
    atomic_write_text(path, page)


def _read(folder: Path) -> Run:
    for name in ("experiment.json", "evaluation.json"):
        if not (folder / name).exists():
            raise InputError(f"{folder} has no {name}; run it with --mode=train,evaluate first")
    file = folder / "experiment.json"
    try:
        experiment = Experiment.from_json(read_text(file)).to_dict()
    except (InputError, OSError, ValueError) as error:
        raise InputError(
            f"{file} cannot be read ({one_line(error)}); train it again, or leave it out"
        ) from error
    results = Results(read_json(folder / "evaluation.json", "run --mode=evaluate again"))
    if not results.is_outdated:
        check(results.evaluation, folder / "evaluation.json")
    if results.is_outdated or not results.measures:
        why = "was written by an older version" if results.is_outdated else "has no measures"
        raise InputError(f"{folder / 'evaluation.json'} {why}; run --mode=evaluate with this one")
    return Run(folder, experiment, results, metrics_file.read(folder / "metrics.jsonl"))


def _of_feature(run: Run, measure: str) -> Any:
    """The value of the run's feature; None if it was not measured."""
    return run.results.values(measure).get(run.results.feature)


def _common_headline(runs: Sequence[Run]) -> str | None:
    """The headline of the first run, if all runs have a value for it."""
    name = runs[0].results.headline
    values = [_of_feature(run, name) for run in runs] if name else [None]
    return name if all(is_number(value) for value in values) else None


def _ranked(runs: list[Run]) -> list[Run]:
    """The runs with letters and colours; the best first if they share a headline."""
    if measure := _common_headline(runs):
        runs = sorted(runs, key=lambda run: -_of_feature(run, measure))
    return [
        replace(run, letter=letter, color=index % charts.NUM_COLORS)
        for index, (run, letter) in enumerate(zip(runs, ascii_uppercase, strict=False))
    ]


def _summary(runs: Sequence[Run]) -> str:
    measure = _common_headline(runs)
    if measure is None:
        return "No one accuracy of the feature was measured of all runs."
    info = runs[0].results.measures[measure]
    run_texts = Markup(", ").join(
        Markup("<strong>{}</strong>&nbsp;{} ({})").format(
            run.letter,
            run.name,
            format_value(_of_feature(run, measure), info.unit),
        )
        for run in runs
    )
    return Markup("By the {} on the feature of each run, best first: {}.").format(
        info.title, run_texts
    )


def _warning(runs: Sequence[Run]) -> str:
    """Why the values of the runs are not comparable; empty if they are."""
    for name, values in _evaluation_data(runs).items():
        if len(different := dict.fromkeys(values)) > 1:
            return (
                f"These runs are of different {name} ({', '.join(different)}); their values are "
                "not comparable."
            )  # the later differences follow from the first
    return ""


def _evaluation_data(runs: Sequence[Run]) -> dict[str, list[str]]:
    """What comparable runs must have in common: the value of each run, if known."""
    fractions = [float(run.experiment.get("validation_fraction", 0)) for run in runs]
    protocols = [run.results.evaluation.get("protocol", {}) for run in runs]
    return {
        "data sets": [str(run.experiment.get("dataset")) for run in runs],
        "test images": [f"{100 * x:g} % held out" if x else "the data set's" for x in fractions],
        "copies of the images": [str(p["images"]) for p in protocols if "images" in p],
        "labels": [str(p["labels_seen"]) for p in protocols if "labels_seen" in p],
    }


def _run_cards(runs: Sequence[Run], page_folder: Path) -> Markup:
    """For each run its name, what it is, its summary, and a link to its report."""
    links = {}
    for run in runs:
        report = run.folder / "report.html"
        if report.exists():
            relative = os.path.relpath(report.resolve(), page_folder.resolve())
            links[run.letter] = quote(relative.replace(os.sep, "/"))
    return render("run_cards.html", runs=runs, links=links)


def _dot_plot(runs: Sequence[Run]) -> Markup:
    lines = []
    for measure in dict.fromkeys(m for run in runs for m in run.results.ranking):
        info = _measure_info(runs, measure)
        dots = []
        for run in reversed(runs):
            value = _of_feature(run, measure)
            if is_number(value):
                text = f"{run.letter} {run.name}: {format_value(value, info.unit)}"
                interval = confidence_interval(
                    run.results.uncertainty(measure, run.results.feature)
                )
                dots.append(Dot(value, text, f"letter s{run.color}", run.letter, interval))
        order = sorted(dots, key=lambda dot: -dot.value)
        lines.append(Line(info.title, dots, " ".join(dot.letter for dot in order)))
    if not lines:
        return Markup()
    note = "Letters: the runs, at the right the best first. Bars: 95% intervals where known."
    return Markup('{}<p class="note">{}</p>').format(dot_plot(lines), note)


def _measure_info(runs: Sequence[Run], measure: str) -> MetricInfo:
    return next(run.results.measures[measure] for run in runs if measure in run.results.measures)


@dataclass(frozen=True)
class _Cell:
    """A run's value in the table of all measures."""

    text: str
    interval: str = ""
    is_best: bool = False
    is_near_best: bool = False  # the intervals overlap


def _metrics_table(runs: Sequence[Run]) -> Markup:
    """Measure and endpoint by run, the best marked."""
    names = dict.fromkeys(name for run in runs for name in run.results.measures)
    measures = [_measure_rows(runs, name) for name in names]
    column = Markup(
        '<span class="s{}"><i class="dot letter">{}</i></span> <span class="name">{}</span>'
    )
    columns = [column.format(run.color, run.letter, run.name) for run in runs]
    return render("comparison_table.html", columns=columns, measures=measures)


def _measure_rows(runs: Sequence[Run], measure: str) -> dict[str, Any]:
    info = _measure_info(runs, measure)
    rows = []
    for endpoint in dict.fromkeys(e for run in runs for e in run.results.endpoints(measure)):
        values = [run.results.values(measure).get(endpoint) for run in runs]
        intervals = [
            confidence_interval(run.results.uncertainty(measure, endpoint)) for run in runs
        ]
        rows.append((endpoint, _cells(info, values, intervals)))
    reference_rows = []
    for name in dict.fromkeys(name for run in runs for name in run.results.references(measure)):
        of_runs = [run.results.references(measure).get(name, {}) for run in runs]
        values = [
            reference_value(values, run.results.feature)
            for run, values in zip(runs, of_runs, strict=True)
        ]
        reference_rows.append((name, [format_value(value, info.unit) for value in values]))
    return {"info": info, "rows": rows, "reference_rows": reference_rows}


def _cells(
    info: MetricInfo, values: list[Any], intervals: list[tuple[float, float] | None]
) -> list[_Cell]:
    best = best_value(values, info)
    best_interval = next(
        (i for v, i in zip(values, intervals, strict=True) if v == best and i), None
    )
    cells = []
    for value, interval in zip(values, intervals, strict=True):
        is_best = is_number(value) and value == best
        cells.append(
            _Cell(
                format_value(value, info.unit),
                format_interval(interval, info.unit),
                is_best,
                not is_best and best is not None and _overlap(best_interval, interval),
            )
        )
    return cells


def _overlap(a: tuple[float, float] | None, b: tuple[float, float] | None) -> bool:
    return bool(a and b and a[0] <= b[1] and b[0] <= a[1])


def _without(settings: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}


def _differences(runs: Sequence[Run], entries: Sequence[dict[str, Any]]) -> Markup:
    """Entry by run, for entries that differ between runs; empty if there are none."""
    missing = object()
    rows = []
    for name in dict.fromkeys(name for entry in entries for name in entry):
        values = [entry.get(name, missing) for entry in entries]
        if all(a == b for a, b in combinations(values, 2)):
            continue
        texts = ["–" if v is missing else format_setting(v) or "(empty)" for v in values]
        rows.append((name, texts))
    columns = [f"{run.letter} {run.name}" for run in runs]
    return render("differences.html", columns=columns, rows=rows) if rows else Markup()
