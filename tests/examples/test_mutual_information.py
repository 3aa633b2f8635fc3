"""Critics trained on pairs whose mutual information is known; slow, some seconds a critic."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).parents[2] / "examples/mutual_information.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("mutual_information", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def estimate(example, name, kind, nats, dim, batch):
    return example.estimate(name, kind, nats, dim, batch, steps=1000, units=128)


def test_pairs_have_the_information_that_they_should(example):
    """By a histogram of pairs: its estimate is a little too high, by bins²/(2·pairs) = 0.004."""
    for kind, nats in (("gaussian", 0.5), ("uniform", 1.0), ("bimodal", 0.4)):
        x, y = (np.asarray(z)[:, 0] for z in example.sampler(kind, nats, 1)(200_000, [0, 1]))
        ranks = (np.argsort(np.argsort(z)) * 40 // len(z) for z in (x, y))
        joint, _, _ = np.histogram2d(*ranks, bins=40)
        joint /= joint.sum()
        outer = np.outer(joint.sum(1), joint.sum(0))
        information = np.sum(joint[joint > 0] * np.log(joint[joint > 0] / outer[joint > 0]))
        assert information == pytest.approx(nats, abs=0.03), kind


def test_bimodal_information_is_between_nothing_and_one_bit(example):
    assert example.bimodal_information(0.1) == pytest.approx(np.log(2), abs=1e-4)
    assert example.bimodal_information(5.0) == pytest.approx(0, abs=1e-2)
    assert example.bimodal_information(example.bimodal_std(0.3)) == pytest.approx(0.3, abs=1e-6)


def check_information(example, name, kind, nats, dim, tolerance):
    assert estimate(example, name, kind, nats, dim, 256) == pytest.approx(nats, abs=tolerance)


CASES = ("name", "kind", "nats", "dim", "tolerance")


@pytest.mark.slow
@pytest.mark.parametrize(
    CASES,
    [
        *[(name, "gaussian", 2.0, 4, 0.25) for name in ("infonce", "dv", "jsd")],
        ("chi2", "gaussian", 0.5, 1, 0.15),
        ("infonce", "bimodal", 0.5, 1, 0.1),
    ],
)
def test_trained_critic_tells_the_known_information(example, name, kind, nats, dim, tolerance):
    check_information(example, name, kind, nats, dim, tolerance)


@pytest.mark.long  # all estimators: docs/results/estimates.json
@pytest.mark.parametrize(
    CASES,
    [
        *[(name, "gaussian", 2.0, 4, 0.25) for name in ("nwj", "gan")],
        ("rkl", "gaussian", 0.5, 4, 0.25),
        ("hellinger", "gaussian", 1.0, 4, 0.25),
        ("jsd", "uniform", 1.0, 1, 0.2),
        ("dv", "gaussian", 0.5, 16, 0.2),
    ],
)
def test_critics_of_the_other_estimators_do_too(example, name, kind, nats, dim, tolerance):
    check_information(example, name, kind, nats, dim, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "least"), [(32, 2.9), (256, 3.6)])
def test_info_nce_of_much_information_stays_under_log_of_the_batch(example, batch, least):
    """5 nats: log 32 = 3.5, log 256 = 5.5."""
    bound = estimate(example, "infonce", "gaussian", 5.0, 4, batch)
    assert least < bound < min(np.log(batch), 5.0)


@pytest.mark.slow
def test_more_negatives_tell_more(example):
    small, large = (estimate(example, "dv", "gaussian", 5.0, 4, batch) for batch in (16, 256))
    assert small < large - 0.3


@pytest.mark.slow
def test_the_command_writes_values_and_a_figure_and_resumes(example, tmp_path, monkeypatch):
    arguments = ["x", f"--out={tmp_path}", "--kinds", "gaussian", "--dims", "1", "--batches", "16"]
    monkeypatch.setattr("sys.argv", [*arguments, "--nats", "1", "--steps", "3", "--units", "4"])
    monkeypatch.setattr(example, "READABLE", ("jsd", "infonce"))
    example.main()
    before = (tmp_path / "estimates.json").read_text()
    assert (tmp_path / "estimates.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(example, "estimate", None)  # nothing is left to be estimated
    example.main()
    assert (tmp_path / "estimates.json").read_text() == before
    monkeypatch.setattr("sys.argv", [*arguments, "--nats", "1", "--steps", "4", "--units", "4"])
    with pytest.raises(TypeError):  # other steps are another experiment
        example.main()
