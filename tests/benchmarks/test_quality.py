"""Recipes, and the tables of their results."""

import json
from pathlib import Path

import pytest
import quality
from absl import flags as absl_flags
from matplotlib import pyplot

from dim_tf.cli import flagfiles, flags
from dim_tf.experiment import Experiment


def row(recipe, epochs=5, seed=0, held_out=0.0):
    return {
        "recipe": recipe,
        "epochs": epochs,
        "seed": seed,
        "validation_fraction": held_out,
    }


def test_runs_share_a_folder_only_where_one_goes_on_as_the_other():
    for recipe in quality.RECIPES:
        first = row(recipe)
        for second in (
            row(recipe, epochs=9),
            row(recipe, seed=1),
            row(recipe, held_out=0.1),
        ):
            runs = [Experiment.of(name="a", **quality.settings_of(r)) for r in (first, second)]
            same_folder = quality.folder_of(first) == quality.folder_of(second)
            assert same_folder == (not runs[1].differences(runs[0])), second


def test_no_two_recipes_are_one():
    recipes = list(quality.RECIPES)
    assert len({quality.folder_of(row(recipe)) for recipe in recipes}) == len(recipes)
    settings = [json.dumps(quality.settings_of(row(recipe)), sort_keys=True) for recipe in recipes]
    assert len(set(settings)) == len(recipes)


def metrics(**changes):
    return {
        "steps": 1,
        "seconds": 60,
        "conv": 0.5,
        "fc": 0.4,
        "global": 0.3,
        "knn": 0.25,
        **changes,
    }


def test_figures_become_a_table_and_means():
    rows = [{**row("authors"), **metrics()}, {**row("crops", 2), **metrics(seconds=90)}]
    assert "| crops | 2 | 0 | 90 | 50.0 | 40.0 | 30.0 | 25.0 |" in quality.table(rows).splitlines()
    seeds = [row("authors", 2), row("authors", 1), row("authors", 1, seed=1)]
    seeds = [{**one, **metrics(conv=c)} for one, c in zip(seeds, (0.6, 0.5, 0.7), strict=True)]
    assert [point["epochs"] for point in quality.means(seeds)] == [1, 2]
    assert [point["conv"] for point in quality.means(seeds)] == pytest.approx([0.6, 0.6])


@pytest.mark.parametrize(("over", "x"), [("minutes", [1, 3]), ("epochs", [2, 7])])
@pytest.mark.parametrize(("held_out", "papers"), [(0.0, [75.21, 75.57, 69.13]), (0.1, [])])
def test_metrics_are_drawn(tmp_path, monkeypatch, over, x, held_out, papers):
    rows = [
        {**row("authors", 2, held_out=held_out), **metrics()},
        {
            **row("authors", 7, held_out=held_out),
            **metrics(seconds=180, conv=0.6),
        },
    ]
    drawn = []
    monkeypatch.setattr(pyplot, "close", drawn.append)
    quality.draw(rows, over, held_out, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    panels = drawn[0].axes
    monkeypatch.undo()
    pyplot.close(drawn[0])
    assert [list(panel.lines[0].get_xdata()) for panel in panels] == [x] * 4
    assert list(panels[0].lines[0].get_ydata()) == [50, 60]
    assert [panel.lines[1].get_ydata()[0] for panel in panels if len(panel.lines) > 1] == papers


def test_rows_of_earlier_commands_are_found_again(tmp_path):
    def write(row, name=None, **changes):
        content = {"settings": quality.settings_of(row) | changes, "metrics": metrics_of[str(row)]}
        path = tmp_path / "rows" / f"{name or quality.row_of(row).name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
        return {**row, **content["metrics"]}

    rows = [row("authors", 5), row("authors", 10), row("authors", 5, seed=1), row("fast", 8)]
    held_out = row("fast", 20, held_out=0.1)
    metrics_of = {str(one): metrics(steps=i) for i, one in enumerate([*rows, held_out])}
    written = [write(one) for one in reversed(rows)]
    write(rows[3], name="older_name-8-seed0-8epochs")
    (tmp_path / "rows" / "other.json").write_text('{"settings": {"epochs": 1}}')
    assert quality.finished(tmp_path, 0.1) == []
    assert quality.finished(tmp_path, 0.0) == written[::-1]
    assert [write(held_out)] == quality.finished(tmp_path, 0.1)
    write(rows[0], learning_rate=0.5)
    with pytest.raises(SystemExit, match="other settings"):
        quality.finished(tmp_path, 0.0)


@pytest.mark.parametrize(
    ("recipe", "other"), [("fast", "fast, 128 units"), ("local", "local, 64 units")]
)
def test_the_flagfiles_train_as_the_recipes(recipe, other):
    values = absl_flags.FlagValues()
    flags.define(values)
    path = Path(quality.__file__).parent.parent / "flags" / f"cifar10_{recipe}.cfg"
    values(["main", *flagfiles.expanded([f"--flagfile={path}"])])
    shipped = flags.experiment(values, ["main"])
    settings = [
        quality.settings_of(row(name, epochs=shipped.training.epochs)) for name in (recipe, other)
    ]
    same, changed = (Experiment.of(name="a", **one) for one in settings)
    assert not shipped.differences(same)
    assert shipped.differences(changed)
