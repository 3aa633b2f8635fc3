"""The verdict: its interval against theory and plain NumPy, its decision, its sentences."""

import numpy as np
import pytest
from sample_representations import evaluation_data, representation

from dim_tf.evaluation import bootstrap, verdict
from dim_tf.evaluation.measure import NO_LABELS, PerImage, Result, Uncertainty, accuracy
from dim_tf.evaluation.measures.knn import NearestNeighbours
from dim_tf.evaluation.report.results import check


def result(*correct, metric="knn", endpoint="global", groups=None):
    """Of trainings with this correctness, 0 or 1 of each image."""
    return accuracy(metric, endpoint, [np.array(of_training) for of_training in correct], groups)


def table(both, encoder_alone, reference_alone, neither=0):
    """Correctness of encoder and reference on so many images of each kind."""
    encoder = [1] * (both + encoder_alone) + [0] * (reference_alone + neither)
    reference = [1] * both + [0] * encoder_alone + [1] * reference_alone + [0] * neither
    return result(encoder), result(reference)


def decide(encoder, reference, was_trained=True, name="start_weights"):
    return verdict.decide([encoder], {name: [reference]}, "global", was_trained=was_trained)


def test_the_interval_is_that_of_the_differences_image_by_image():
    """Plain NumPy, one resample after the other."""
    rng = np.random.default_rng(7)
    encoder, reference = rng.random((2, 40)) < [[0.7], [0.5]]
    rng = np.random.default_rng(0)
    differences = []
    for _ in range(verdict.RESAMPLES):
        images = rng.integers(0, 40, 40)
        differences.append(np.mean(encoder[images]) - np.mean(reference[images]))
    expected = np.percentile(differences, [2.5, 97.5])
    interval = verdict.difference_interval(result(encoder).per_image, result(reference).per_image)
    np.testing.assert_allclose(interval, expected, atol=1e-12)


@pytest.mark.parametrize(("encoder_alone", "reference_alone"), [(260, 200), (100, 300), (40, 12)])
def test_the_interval_of_accuracies_is_mcnemars_normal_approximation(
    encoder_alone, reference_alone
):
    """Of the images that one classifies correctly: variance (b + c - (b - c)^2 / n) / n^2."""
    b, c, n = encoder_alone, reference_alone, 2000
    encoder, reference = table(900, b, c, n - 900 - b - c)
    mean, std = (b - c) / n, (b + c - (b - c) ** 2 / n) ** 0.5 / n
    low, high = verdict.difference_interval(encoder.per_image, reference.per_image)
    assert (low, high) == pytest.approx((mean - 1.96 * std, mean + 1.96 * std), abs=0.25 * std)
    # Two separate intervals are wider: both classify most images alike.
    separate = [bootstrap.mean_interval(x.per_image.correct, None) for x in (encoder, reference)]
    assert separate[0][0] - separate[1][1] < low


def test_the_interval_holds_the_true_difference_19_times_in_20(monkeypatch):
    """Encoders that differ on 30 % of 100 images, by 4 points in the mean."""
    counts = list(bootstrap._resamples(np.arange(100), verdict.RESAMPLES))  # once, for speed
    monkeypatch.setattr(bootstrap, "_resamples", lambda *_: counts)
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        b, c, same = rng.multinomial(100, [0.17, 0.13, 0.7])
        correct = np.repeat([[1, 1, 0], [1, 0, 1]], [same, b, c], axis=1)
        encoder, reference = (PerImage(100, bootstrap.mean_of(x), x) for x in correct)
        low, high = verdict.difference_interval(encoder, reference)
        held += low <= 0.04 <= high
    assert 0.92 < held / 400 < 0.98  # 0.95 +- 0.011, one standard error


@pytest.mark.parametrize(
    ("kinds", "helped"),
    [
        ((5, 40, 20, 35), "yes"),
        ((5, 20, 40, 35), "no"),
        ((5, 33, 30, 32), "unclear"),
        ((100, 0, 0, 0), "unclear"),  # perfect on both sides
        ((0, 0, 0, 10), "unclear"),
        ((2, 8, 0, 0), "yes"),
        ((2, 0, 8, 0), "no"),
        ((5, 5, 0, 0), "unclear"),  # a sign test of five: p = 0.06
        ((4, 6, 0, 0), "yes"),
        ((0, 1, 0, 0), "unclear"),
    ],
)
def test_the_decision_is_by_the_interval_and_needs_six_images_that_differ(kinds, helped):
    decided = decide(*table(*kinds))
    assert decided["helped"] == helped
    assert decided["n"] == sum(kinds)
    low, high = decided["ci95"]
    assert low <= decided["difference"] <= high
    assert decided["difference"] == pytest.approx((kinds[1] - kinds[2]) / sum(kinds))


def test_groups_are_drawn_and_counted_as_a_whole():
    """Better on the 60 frames of each of five videos of twelve: five videos say little."""
    groups = np.repeat(np.arange(12), 60)
    encoder, reference = result(groups < 5, groups=groups), result(groups < 0, groups=groups)
    decided = decide(encoder, reference)
    assert (decided["helped"], decided["groups"]) == ("unclear", 12)
    assert "cannot be told apart on 720 test images in 12 groups: kNN" in decided["sentence"]
    alone = decide(*(result(x.per_image.correct) for x in (encoder, reference)))
    assert (alone["helped"], alone["groups"]) == ("yes", None)
    assert decided["ci95"][1] - decided["ci95"][0] > 5 * (alone["ci95"][1] - alone["ci95"][0])
    seven = decide(result(groups < 7, groups=groups), reference)
    assert seven["helped"] == "yes"


def test_too_few_groups_decide_nothing_by_the_auc():
    def statistic(counts):
        return np.ones(len(counts))

    def by_auc(value, groups):
        scores = PerImage(100, lambda counts: value * statistic(counts), groups=groups)
        return Result(
            "knn_auc", "global", value, Uncertainty(None, 1, (value, value)), None, scores
        )

    for count, helped in ((5, "unclear"), (6, "yes")):
        groups = np.arange(100) % count
        assert decide(by_auc(1.0, groups), by_auc(0.5, groups))["helped"] == helped


def test_the_best_of_many_references_has_to_be_better_by_more():
    encoder, reference = table(5, 20, 38, 37)
    alone = decide(encoder, reference)
    assert (alone["helped"], alone["candidates"]) == ("no", 1)
    worse = [
        result([0] * 100, endpoint=e) for e in ("local", "conv", "fc", "a", "b", "c", "d", "e")
    ]
    references = {"pixels": [reference], "mine": worse}
    of_nine = verdict.decide([encoder], references, "global", was_trained=True)
    assert (of_nine["helped"], of_nine["candidates"]) == ("unclear", 9)
    assert of_nine["ci95"] == alone["ci95"]
    assert of_nine["ci95"][1] < 0
    assert of_nine["sentence"].endswith(
        "; undecided, as the best of 9 on these images may be so by luck"
    )
    much_worse = verdict.decide([result([0] * 100)], references, "global", was_trained=True)
    assert (much_worse["helped"], much_worse["candidates"]) == ("no", 9)


def test_of_nine_references_as_good_as_the_encoder_the_best_is_seldom_called_better(monkeypatch):
    """3 % of such trials; by the 95 % interval alone 14 %."""
    counts = list(bootstrap._resamples(np.arange(200), 1000))  # drawn once, for speed
    monkeypatch.setattr(bootstrap, "_resamples", lambda *_: counts)
    rng = np.random.default_rng(2)
    helped = []
    for _ in range(150):
        encoder, *others = (result(x) for x in rng.random((10, 200)) < 0.6)
        references = {str(i): [other] for i, other in enumerate(others)}
        helped.append(verdict.decide([encoder], references, "global", was_trained=True)["helped"])
    assert helped.count("no") <= 9  # 4 or 5 expected; 20 by the 95 % interval alone
    assert helped.count("yes") <= 4


def test_an_encoder_equals_itself():
    encoder, _ = table(300, 200, 0)
    decided = decide(encoder, encoder)
    assert (decided["helped"], decided["difference"], decided["ci95"]) == ("unclear", 0, [0, 0])
    assert decided["sentence"] == (
        "Training and start weights cannot be told apart on 500 test images: kNN 100.0 % "
        "(100.0 to 100.0); start weights 100.0 %; difference from start weights 0.0 points "
        "(0.0 to 0.0)"
    )


def test_seeds_are_averaged_image_by_image():
    """Two seeds that are right on other images are as one that is half right on all."""
    seeds = result([1] * 50 + [0] * 50, [0] * 50 + [1] * 50)
    np.testing.assert_array_equal(seeds.per_image.correct, np.full(100, 0.5))
    decided = decide(seeds, result([0] * 100))
    assert decided["ci95"] == [0.5, 0.5]


def test_rounding_of_thirds_decides_nothing():
    """Percentile 2.5 of these differences of a third is 0, and 1e-16 in floating point."""
    first, second = [1] * 60, np.repeat([[1, 0, 0], [0, 1, 0]], [15, 6, 39], axis=1)
    encoder, reference = (result(first, of_second, [0] * 60) for of_second in second)
    decided = decide(encoder, reference)
    assert decided["ci95"][0] == pytest.approx(0, abs=1e-12)
    assert decided["helped"] == "unclear"


def test_the_best_endpoint_of_the_best_reference_is_compared():
    right = np.arange(100)
    own = [result(right < count, endpoint=e) for e, count in (("conv", 90), ("global", 80))]
    references = {
        "random_weights": [result(right < 50, endpoint="conv"), result(right < 20)],
        "pixels": [result(right < 60, endpoint="pixels")],
        "mine": [result(right < 30)],
        "failed": [],
    }
    decided = verdict.decide(own, references, "global", was_trained=True)
    assert decided["sentence"].startswith("Training helped: kNN 80.0 % (72.0 to 88.0); raw pixels")
    assert "raw pixels 60.0 %, random weights 50.0 %, mine 30.0 %; diff" in decided["sentence"]
    assert decided["sentence"].endswith("difference from raw pixels 20.0 points (12.0 to 28.0)")
    names = ("metric", "endpoint", "value", "reference", "reference_endpoint", "helped", "n")
    assert [decided[name] for name in names] == [
        *("knn", "global", 0.8, "pixels", "pixels", "yes", 100)
    ]
    assert verdict.decide(own, references, "conv", was_trained=True)["value"] == 0.9
    assert verdict.decide(own, references, "fc", was_trained=True) is None


@pytest.mark.parametrize(
    ("kinds", "was_trained", "name", "beginning"),
    [
        ((0, 80, 20), True, "mine", "Training helped: kNN 80.0 % (72.0 to 88.0); mine 20.0 %;"),
        ((0, 20, 80), True, "start_weights", "Training did not help: use start weights; kNN 20.0"),
        ((0, 20, 80), True, "pixels", "Training did not help: use raw pixels; kNN 20.0 % ("),
        ((0, 20, 80), True, "a_b", "Training did not beat a_b: use a_b; kNN 20.0 % ("),
        ((0, 51, 49), True, "random_weights", "Training and random weights cannot be told apart "),
        ((0, 80, 20), False, "mine", "This encoder is better than mine: kNN 80.0 % ("),
        ((0, 20, 80), False, "pixels", "This encoder is worse than raw pixels: use raw pixels; k"),
        ((0, 51, 49), False, "mine", "This encoder and mine cannot be told apart on 100 test im"),
    ],
)
def test_the_sentence_states_the_fact_first(kinds, was_trained, name, beginning):
    decided = decide(*table(*kinds), was_trained, name)
    assert decided["sentence"].startswith(beginning)
    if kinds == (0, 20, 80):
        assert decided["sentence"].endswith(
            "difference from "
            + ({"start_weights": "start weights", "pixels": "raw pixels"}.get(name, name))
            + " −60.0 points (−76.0 to −44.0)"
        )


def test_an_inner_endpoint_to_use_is_named():
    """As where an encoder is its own reference: its conv may be better than its global."""
    _, inner = table(0, 20, 80)
    inner = result(inner.per_image.correct, endpoint="conv")
    decided = decide(table(0, 20, 80)[0], inner)
    assert decided["reference_endpoint"] == "conv"
    assert decided["sentence"].startswith("Training did not help: use start weights (conv); kNN 2")


def test_the_linear_probe_is_a_second_line_or_the_verdict_where_it_is_alone():
    knn, reference = table(0, 80, 20)
    probe = [result(x.per_image.correct, metric="linear_probe") for x in (reference, knn)]
    by_both = verdict.decide(
        [probe[0], knn], {"pixels": [reference, probe[1]]}, "global", was_trained=True
    )
    assert (by_both["helped"], by_both["probe"]["helped"]) == ("yes", "no")
    assert verdict.lines({"verdict": by_both}) == [
        f"verdict: {by_both['sentence']}",
        f"verdict: {by_both['probe']['sentence']}",
    ]
    assert "use raw pixels; linear probe 20.0 %" in by_both["probe"]["sentence"]
    alone = decide(*probe)
    assert (alone["metric"], alone["probe"]) == ("linear_probe", None)
    for evaluation in ({"verdict": by_both}, {"verdict": alone}, {"verdict": None}, {}):
        check(evaluation, "evaluation.json")


def test_attributes_are_compared_by_the_auc_of_the_same_images():
    data = evaluation_data(multi_label=True)
    measured = {
        quality: list(NearestNeighbours(representation(quality, data)).run())
        for quality in ("ideal", "random")
    }
    for encoder, reference, helped in (
        ("ideal", "random", "yes"),
        ("random", "ideal", "no"),
        ("ideal", "ideal", "unclear"),
    ):
        decided = verdict.decide(
            measured[encoder], {"pixels": measured[reference]}, "global", was_trained=True
        )
        assert (decided["metric"], decided["helped"], decided["n"]) == ("knn_auc", helped, 128)
    assert "kNN AUC 1.000 (1.000 to 1.000); raw pixels 1.000" in decided["sentence"]
    assert decided["sentence"].endswith("difference from raw pixels 0.000 (0.000 to 0.000)")


def test_values_that_cannot_be_resampled_give_no_verdict():
    bare = Result("knn", "global", 0.5)
    assert decide(bare, bare) is None
    assert verdict.decide([result([1, 0])], {}, "global", was_trained=True) is None


@pytest.mark.parametrize(
    ("has_labels", "has_references", "why"),
    [
        (False, True, f"none: {NO_LABELS}"),
        (True, False, "none: needs references; none was measured (--noreferences)"),
        (True, True, "none: needs kNN or the linear probe"),
    ],
)
def test_without_a_verdict_the_last_line_says_why(has_labels, has_references, why):
    text = verdict.protocol(None, has_labels=has_labels, has_references=has_references)
    (line,) = verdict.lines({"verdict": None, "protocol": {"verdict": text}})
    assert line.startswith(f"verdict: {why}")
    assert verdict.lines({"protocol": {}}) == []


def test_the_protocol_names_method_resamples_and_images():
    decided = decide(*table(0, 80, 20))
    text = verdict.protocol(decided, has_labels=True, has_references=True)
    assert text.startswith("paired bootstrap over the 100 test images; percentiles 2.5 and 97.5 of")
    assert "2,000 resamples" in text
    assert text.endswith("no decision on fewer than 6 images that differ")
    of_groups = verdict.protocol(decided | {"groups": 10}, has_labels=True, has_references=True)
    assert "over the 10 groups of the 100 test images, each drawn as a whole; perc" in of_groups
    assert of_groups.endswith("no decision on fewer than 6 groups that differ")
    of_auc = decided | {"metric": "knn_auc"}
    text = verdict.protocol(of_auc, has_labels=True, has_references=True)
    assert "500 resamples" in text
    assert "correctness" not in text
    assert text.endswith("no decision on fewer than 6 images")


def test_the_rotation_probe_decides_where_there_are_no_labels_alone():
    both = {"knn": table(50, 30, 5), "rotation_probe": table(50, 5, 30)}
    by_rotation, by_labels = (
        verdict.decide(
            [Result(name, "global", r.value, r.uncertainty, None, r.per_image) for name, r in ours],
            {"pixels": [Result(n, "pixels", r.value, None, None, r.per_image) for n, r in theirs]},
            "global",
            was_trained=True,
        )
        for ours, theirs in (
            [[(name, both[name][side]) for name in names] for side in (0, 1)]
            for names in (["rotation_probe"], ["knn", "rotation_probe"])
        )
    )
    assert (by_rotation["metric"], by_rotation["helped"]) == ("rotation_probe", "no")
    assert "rotation probe" in by_rotation["sentence"]
    assert (by_labels["metric"], by_labels["helped"], by_labels["probe"]) == ("knn", "yes", None)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([1, 1, 0, 2, 1], "; dog, the most frequent class, is 60.0 % of the test images"),
        ([1, 1, 0, 2], "; dog, the most frequent class, is 50.0 % of the test images"),
        ([0, 1, 1, 2, 2, 1, 0], ""),
    ],
)
def test_a_class_of_half_the_images_is_told(labels, said):
    before = decide(*table(40, 20, 0, 40))
    names = ("cat", "dog", "fish", "none of these")
    after = verdict.with_most_frequent_class(before, np.array(labels), names)
    assert after["sentence"] == before["sentence"] + said
    fraction = labels.count(1) / len(labels)
    assert after["most_frequent_class"] == {"name": "dog", "fraction": fraction}
