"""The feature that an encoder gives is chosen on training images."""

import dataclasses

import numpy as np
import pytest
from sample_representations import evaluation_data

from dim_tf.evaluation import attribute_metrics, bootstrap, feature_choice
from dim_tf.evaluation.evaluation_data import EvaluationData, EvaluationSplit
from dim_tf.evaluation.feature_choice import (
    BY_ACCURACY,
    BY_AUC,
    auc_by_image,
    choose,
    exported,
)
from dim_tf.evaluation.measures.knn import NearestNeighbours
from dim_tf.evaluation.representation import Representation
from dim_tf.system.errors import InputError

SIZES = {"global": 6, "fc": 12, "conv": 48, "local_pooled": 9}


def sample(noise, data=None, sizes=SIZES):
    """Features that tell the classes or attributes the worse the more noise they have."""
    data = data or evaluation_data(train=600)
    rng = np.random.default_rng(0)
    labels = data.train.labels
    signal = np.eye(6)[labels] if data.has_classes else np.pad(labels, [(0, 0), (0, 2)])
    train = {}
    for name, size in sizes.items():
        features = np.zeros((len(labels), size))
        features[:, :6] = signal
        train[name] = (features + noise[name] * rng.normal(size=features.shape)).astype(np.float32)
    # No rows for the test images: whatever looks at them fails.
    return Representation(train, {}, data)


def test_the_best_feature_is_chosen_with_its_values():
    choice = choose(sample({"global": 3, "fc": 2, "conv": 0.3, "local_pooled": 2}))
    assert (choice["name"], choice["chosen"], choice["metric"]) == ("conv", "auto", BY_ACCURACY)
    assert choice["dimensions"] == SIZES
    assert choice["images"] == 600
    values = choice["validation"]
    assert list(values) == list(SIZES)
    assert values["conv"] > 0.9
    assert all(
        values["conv"] - values[n] > 3 * choice["standard_error"][n] for n in ("fc", "global")
    )
    assert choice["reason"].startswith("the best on training images")


@pytest.mark.parametrize("multi_label", [False, True])
def test_of_equal_features_the_smallest_is_chosen(multi_label):
    data = evaluation_data(train=600, multi_label=multi_label)
    choice = choose(sample(dict.fromkeys(SIZES, 0.0), data, SIZES | {"global": 40}))
    assert choice["name"] == "local_pooled"
    assert set(choice["validation"].values()) == {1.0}


@pytest.mark.parametrize(
    ("lost", "won", "name"),
    [(12, 10, "global"), (3, 0, "conv"), (9, 0, "conv"), (30, 10, "conv"), (3, 3, "global")],
)
def test_a_smaller_feature_is_taken_within_a_standard_error_of_the_best(lost, won, name):
    """Of 100 images the small feature classifies `won` that the large does not, and reversed."""
    large = np.arange(100) < 60.0
    small = large.copy()
    small[:lost] = False
    small[60 : 60 + won] = True
    outcomes = {"global": small.astype(float), "conv": large.astype(float)}
    choice = feature_choice._compared(outcomes, {"global": 64, "conv": 4096}, np.arange(100))
    assert choice["name"] == name
    assert choice["validation"]["global"] == pytest.approx(0.6 + (won - lost) / 100)
    difference = outcomes["conv"] - outcomes["global"]
    expected = np.sqrt(np.sum((difference - difference.mean()) ** 2) / 99 / 100)
    assert max(choice["standard_error"].values()) == pytest.approx(expected)
    assert ("the smallest within one standard error" in choice["reason"]) == (lost == 12)


def test_attributes_are_compared_by_their_auc():
    data = evaluation_data(train=600, multi_label=True)
    data.train.labels[:, 3] = 0  # it has no AUC
    choice = choose(sample({"global": 3, "fc": 0.3, "conv": 3, "local_pooled": 3}, data))
    assert (choice["name"], choice["metric"]) == ("fc", BY_AUC)
    assert choice["validation"]["fc"] > 0.95
    assert choice["validation"]["global"] < 0.8


def test_an_image_is_no_neighbour_of_its_own():
    """Features that only identify the image tell nothing of its class."""
    data = evaluation_data(train=400)
    identity = np.eye(400, dtype=np.float32)
    by_class = np.eye(4, dtype=np.float32)[data.train.labels]
    choice = choose(Representation({"global": identity, "fc": by_class}, {}, data))
    for values in choice["parts"].values():
        assert values["global"] < 0.4
        assert values["fc"] == 1


def with_groups(data, groups):
    return dataclasses.replace(data, train=dataclasses.replace(data.train, groups=groups))


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("queries", [2000, 100])
def test_an_image_is_not_classified_by_its_group(multi_label, queries, monkeypatch):
    """Features that identify the video tell nothing of the class."""
    monkeypatch.setattr(feature_choice, "MAX_QUERIES", queries)
    videos = np.repeat(np.arange(100, 200), 5)
    data = evaluation_data(train=500, multi_label=multi_label)
    data.train.labels[:] = data.train.labels[videos]
    identity = np.eye(200, dtype=np.float32)[videos]
    train = {"global": identity, "fc": np.eye(4, dtype=np.float32)[np.arange(500) % 4]}
    grouped, single = (
        choose(Representation(train, {}, of))["parts"] for of in (with_groups(data, videos), data)
    )
    assert all(part["global"] < 0.6 for part in grouped.values())
    assert all(part["global"] > 0.9 for part in single.values())


@pytest.mark.parametrize("sizes", [(99, 1), (50, 50), (98, 1, 1)])
def test_few_groups_of_any_size_are_compared(sizes):
    data = with_groups(evaluation_data(train=100), np.repeat(np.arange(len(sizes)), sizes))
    choice = choose(sample(dict.fromkeys(SIZES, 0.3), data))
    assert set(choice["validation"]) == set(SIZES)
    assert np.isfinite(list(choice["standard_error"].values())).all()


def test_the_standard_error_is_that_of_whole_groups():
    means = np.random.default_rng(0).normal(size=30)
    of_means = np.std(means, ddof=1) / np.sqrt(30)
    for copies in (1, 4):
        groups = np.repeat(np.arange(30), copies)
        error = feature_choice._standard_error(np.repeat(means, copies), groups)
        assert error == pytest.approx(of_means)


def test_a_small_feature_that_serves_neighbours_alone_is_not_taken():
    """Classes lie on a line in the small feature, where a linear classifier finds the outer two."""
    data = evaluation_data(train=600)
    labels, rng = data.train.labels, np.random.default_rng(0)
    angles = labels * 0.2 + 0.02 * rng.normal(size=600)
    line = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    blobs = (3 * np.eye(4)[labels] + rng.normal(size=(600, 4))).astype(np.float32)
    line[:, 1] = 0.1 * (labels % 2)
    choice = choose(Representation({"global": line, "conv": blobs}, {}, data))
    knn, linear = (choice["parts"][name] for name in ("knn", "linear_probe"))
    assert choice["name"] == "conv", (knn, linear)
    assert choice["validation"]["conv"] == pytest.approx((knn["conv"] + linear["conv"]) / 2)


@pytest.mark.parametrize(("train", "images"), [(90, 90), (5000, 2000)])
def test_the_linear_probe_learns_from_images_that_it_does_not_classify(train, images, monkeypatch):
    """With few images in folds, with many once, from images that no neighbours are sought of."""
    fits, fit = [], feature_choice.logistic_regression.fit

    def spy(features, labels, outputs, indices):
        fits.append(indices)
        return fit(features, labels, outputs, indices)

    monkeypatch.setattr(feature_choice.logistic_regression, "fit", spy)
    monkeypatch.setattr(feature_choice, "MAX_FITTED", 3000)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(train, 4)).astype(np.float32)
    labels = rng.integers(0, 2, train)
    queries = np.arange(images)
    scores = feature_choice._linear_scores(features, labels, queries, 2, np.arange(train))
    assert scores.shape == (images, 2)
    if train == 90:
        assert [len(indices) for indices in fits] == [60, 60, 60]
        assert all(sum(q in indices for indices in fits) == 2 for q in queries)
    else:
        assert [len(indices) for indices in fits] == [3000]
        assert not np.isin(queries, fits[0]).any()


def test_images_that_all_are_equal_vote_without_the_query():
    data = evaluation_data(train=100)
    ones = {"global": np.ones((100, 3), np.float32)}
    assert 0 <= choose(Representation(ones, {}, data))["parts"]["knn"]["global"] < 0.5


def test_the_votes_are_those_of_the_measure():
    """One query against the rest, by the measure itself."""
    data = evaluation_data(train=60)
    r = sample({"global": 0.8, "fc": 0.8, "conv": 0.8, "local_pooled": 0.8}, data)
    right = []
    for query in range(60):
        rest = np.delete(np.arange(60), query)
        one = EvaluationSplit(data.train.images[[query]], data.train.labels[[query]])
        training = EvaluationSplit(data.train.images[rest], data.train.labels[rest])
        alone = Representation(
            {"global": r.train["global"][rest]},
            {"global": r.train["global"][[query]]},
            EvaluationData(training, one, data.label_names, ""),
        )
        right.append(next(iter(NearestNeighbours(alone).run())).value)
    assert choose(r)["parts"]["knn"]["global"] == pytest.approx(np.mean(right))


def test_large_sets_are_sampled_the_same_way_each_time(monkeypatch):
    monkeypatch.setattr(feature_choice, "MAX_IMAGES", 300)
    monkeypatch.setattr(feature_choice, "MAX_QUERIES", 100)
    sizes, neighbours = [], feature_choice.cosine_neighbours

    def spy(queries, candidates, k, groups):
        sizes.append((len(queries), len(candidates)))
        return neighbours(queries, candidates, k, groups)

    monkeypatch.setattr(feature_choice, "cosine_neighbours", spy)
    r = sample(dict.fromkeys(SIZES, 1.0))
    first = choose(r)
    assert first == choose(r)
    assert first["images"] == 100
    assert set(sizes) == {(100, 300)}
    monkeypatch.setattr(feature_choice, "MAX_NUMBERS", 48 * 50)  # of conv, the largest
    assert choose(r)["images"] == 50
    assert sizes[-1] == (50, 50)


def without_labels():
    return evaluation_data(train=100, labelled=False), "without labels"


def few():
    return evaluation_data(train=19), "19 labelled training images are too few"


def of_one_class():
    data = evaluation_data(train=100)
    data.train.labels[:] = 2
    return data, "all have the same label"


def of_the_same_attributes():
    data = evaluation_data(train=100, multi_label=True)
    data.train.labels[:] = [1, 0, 0, 1]
    return data, "all have the same label"


def of_one_group():
    return with_groups(evaluation_data(train=100), np.full(100, 7)), "are one group"


@pytest.mark.parametrize(
    "case", [of_one_group, without_labels, few, of_one_class, of_the_same_attributes]
)
def test_where_features_cannot_be_compared_it_is_global(case):
    data, reason = case()
    train = {name: np.ones((len(data.train), size), np.float32) for name, size in SIZES.items()}
    choice = choose(Representation(train, {}, data))
    assert (choice["name"], choice["chosen"], choice["metric"]) == ("global", "auto", None)
    assert choice["validation"] == {}
    assert choice["dimensions"] == SIZES
    assert reason in choice["reason"]
    named = choose(Representation(train, {}, data), "conv")
    assert (named["name"], named["chosen"]) == ("conv", "by --feature")


def test_a_named_feature_is_taken_beside_the_values():
    r = sample({"global": 3, "fc": 2, "conv": 0.3, "local_pooled": 2})
    choice = choose(r, "fc")
    assert (choice["name"], choice["chosen"]) == ("fc", "by --feature")
    assert choice["validation"] == choose(r)["validation"]
    del r.train["fc"]
    with pytest.raises(InputError, match=r"--feature=fc: .* one of global, conv, local_pooled"):
        choose(r, "fc")


def test_an_export_takes_what_the_evaluation_chose_unless_a_flag_names_another():
    chosen = choose(sample({"global": 3, "fc": 2, "conv": 0.3, "local_pooled": 2}), max_features=99)
    evaluation = {"feature": chosen}
    assert exported("auto", 7, evaluation) == chosen
    named = exported("fc", 7, evaluation)
    assert (named["name"], named["chosen"], named["max_features"]) == ("fc", "by --feature", 99)
    assert named["validation"] == chosen["validation"]
    without = exported("auto", 7, {})
    assert (without["name"], without["max_features"]) == ("global", 7)
    assert "there is no evaluation of the same training step" in without["reason"]
    assert exported("conv", 7, {})["name"] == "conv"


def test_an_images_numbers_have_the_auc_as_mean_and_its_standard_error():
    """Against scikit-learn's AUC and the bootstrap; scores have ties."""
    rng = np.random.default_rng(0)
    labels = (rng.random((800, 2)) < [0.5, 0.15]).astype(int)
    scores = np.round(labels + rng.normal(size=labels.shape), 1)
    numbers = auc_by_image(scores, labels)
    table = attribute_metrics.by_attribute(scores, labels, ("a", "b"))
    assert numbers.mean() == pytest.approx(attribute_metrics.means(table)["auc"])
    counts = np.stack([np.bincount(rng.integers(0, 800, 800), minlength=800) for _ in range(400)])
    resampled = bootstrap.aucs_of(scores, labels)(counts).mean(axis=0)
    assert numbers.std() / np.sqrt(800) == pytest.approx(resampled.std(), rel=0.15)
