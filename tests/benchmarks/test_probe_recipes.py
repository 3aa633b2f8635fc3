"""Both tables of the fast probes' choices, on features that tell the class."""

import numpy as np
import probe_recipes


def test_each_number_of_images_has_a_row_in_both_tables(monkeypatch, capsys):
    monkeypatch.setattr(probe_recipes, "VALIDATION_IMAGES", 50)
    labels = np.arange(150) % probe_recipes.CLASSES
    features = {"global": np.eye(probe_recipes.CLASSES, dtype=np.float32)[labels]}
    probe_recipes.print_tables(features, labels, [50, 100], seeds=2)
    lines = [
        [x.strip() for x in line.split("|")[1:-1]] for line in capsys.readouterr().out.split("\n")
    ]
    assert [line[:2] for line in lines[2:4]] == [["global", "50"], ["global", "100"]]
    assert [line[3] for line in lines[2:4]] == ["100.0 ± 0.0"] * 2
    for count, line in zip((50, 100), lines[-3:-1], strict=True):
        assert line[0] == str(count)
        losses = [float(x) for x in line[1:]]
        assert losses == sorted(losses, reverse=True)  # a larger C fits more
        assert 0 < losses[-1] < losses[0] < np.log(probe_recipes.CLASSES)
