"""Recipes, and what is made of their figures."""

import json
from pathlib import Path

import pytest
import quality
from absl import flags as absl_flags

from dim_tf import flagfiles, flags
from dim_tf.experiment import Experiment


def row(recipe, epochs=5, seed=0, holdout=0.0):
    return {"recipe": recipe, "epochs": epochs, "seed": seed, "holdout": holdout}


@pytest.mark.parametrize("recipe", quality.RECIPES)
def test_runs_share_a_folder_only_where_one_goes_on_as_the_other(recipe):
    first = row(recipe)
    for other in (row(recipe, epochs=9), row(recipe, seed=1), row(recipe, holdout=0.1)):
        runs = [Experiment(name="a", **quality.settings_of(r)) for r in (first, other)]
        share = quality.folder_of(first) == quality.folder_of(other)
        assert share == (not runs[1].differences(runs[0]))
    folders = {quality.folder_of(row(name)) for name in quality.RECIPES}
    assert len(folders) == len(quality.RECIPES)
    same = [name for name, changes in quality.RECIPES.items() if changes == quality.RECIPES[recipe]]
    assert same == [recipe]


def test_figures_become_a_table_and_a_picture(tmp_path):
    figures = {"steps": 1, "seconds": 60, "conv": 0.5, "fc": 0.4, "global": 0.3, "knn": 0.25}
    rows = [{**row(name, epochs), **figures} for name in ("authors", "crops") for epochs in (1, 2)]
    assert "| crops | 2 | 0 | 60 | 50.0 | 40.0 | 30.0 | 25.0 |" in quality.table(rows).splitlines()
    seeds = [{**rows[1], "seed": 1, "conv": 0.7}, *rows]
    assert [point["conv"] for point in quality.means(seeds[:3])] == pytest.approx([0.5, 0.6])
    for over in ("minutes", "epochs"):
        quality.draw(rows, over, tmp_path / f"{over}.png")
    pictures = [path.read_bytes() for path in tmp_path.glob("*.png")]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert len(set(pictures)) == 2


def test_rows_of_earlier_commands_are_found_again(tmp_path):
    figures = {"steps": 1, "seconds": 60, "conv": 0.5, "fc": 0.4, "global": 0.3, "knn": 0.25}

    def write(row, **changes):
        settings = quality.settings_of(row) | changes
        path = tmp_path / "rows" / f"{quality.row_of(row).name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"settings": settings, "figures": figures}))

    rows = [row("authors", 5), row("authors", 10), row("authors", 5, seed=1), row("fast", 8)]
    for one in rows:
        write(one)
    write(row("fast", 20, holdout=0.1))
    write(row("simclr"), learning_rate=0.5)  # of an older simclr
    assert quality.finished(tmp_path, 0.0) == [{**one, **figures} for one in rows]
    assert quality.finished(tmp_path, 0.1) == [{**row("fast", 20, holdout=0.1), **figures}]


def test_the_flagfile_trains_as_the_recipe_fast():
    values = absl_flags.FlagValues()
    flags.define(values)
    path = Path(quality.__file__).parent.parent / "flags" / "cifar10_fast.cfg"
    values(["main", *flagfiles.expanded([f"--flagfile={path}"])])
    shipped = flags.experiment(values, ["main"])
    recipe = Experiment(name="a", **quality.settings_of(row("fast", epochs=shipped.epochs)))
    assert not shipped.differences(recipe)
    assert shipped.differences(Experiment(name="a", **quality.settings_of(row("simclr"))))
