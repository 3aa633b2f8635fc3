"""The benchmark of curation finds what it planted, at a few rows."""

import curate_million
import numpy as np
import pytest


def test_planted_copies_are_found_and_each_step_is_timed(monkeypatch, capsys):
    arguments = "--rows=2000 --dimension=16 --inner=8 --clusters=10 --copies=40 --subset=20"
    monkeypatch.setattr("sys.argv", ["curate_million.py", *arguments.split()])
    curate_million.main()
    printed = capsys.readouterr().out
    for step in ("index", "20 neighbours", "duplicates", "outliers", "subset of 20, typical"):
        assert f"\n| {step}" in printed
    found = printed[printed.index("recall") :].split()
    assert float(found[1].rstrip(",")) > 0.9
    assert float(found[3].rstrip(";")) == 1


def test_copies_are_as_far_as_asked():
    features = np.random.default_rng(0).standard_normal((50, 16)).astype(np.float32)
    copies = curate_million.near(features, 0.05, np.random.default_rng(1))
    distances = np.linalg.norm(copies - features, axis=1) / np.linalg.norm(features, axis=1)
    assert distances == pytest.approx(0.05, rel=1e-4)
