"""Tests of the search for wrong labels."""

import dataclasses
from functools import cache

import numpy as np
import pytest
import sample_curation

from dim_tf.collection.curation import label_issues
from dim_tf.collection.curation.confident_learning import confident_joint, find_candidates
from dim_tf.collection.curation.label_issues import check_labels
from dim_tf.collection.embedded_images import EmbeddedImages
from dim_tf.system.errors import InputError

COUNT, CLASSES, WRONG = 1500, 6, 45


def images_of(labels, features, names=()):
    return EmbeddedImages(
        [str(i) for i in range(len(labels))], features, None, labels=labels, label_names=names
    )


@cache
def classes(separation):
    """Images of overlapping classes, some of which have a wrong label; and these rows."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(CLASSES, 16)) * separation
    true = rng.integers(0, CLASSES, COUNT)
    features = (centers[true] + rng.normal(size=(COUNT, 16))).astype(np.float32)
    wrong = rng.choice(COUNT, WRONG, replace=False)
    labels = true.copy()
    labels[wrong] = (true[wrong] + rng.integers(1, CLASSES, WRONG)) % CLASSES
    return images_of(labels, features), sample_curation.neighbours_of(features), wrong, true


def test_wrong_labels_of_clear_classes_are_named_with_the_right_one():
    images, neighbours, wrong, true = classes(1.2)
    check = check_labels(images, neighbours, precision=0.5)
    issues = check.issues
    assert np.isin(issues.rows, wrong).mean() >= 0.9
    assert np.isin(wrong, issues.rows).mean() >= 0.8
    named = np.isin(issues.rows, wrong)
    assert np.mean(issues.suggested[named] == true[issues.rows[named]]) >= 0.95
    np.testing.assert_array_equal(issues.given, images.labels[issues.rows])
    assert (np.diff(issues.scores) <= 0).all()


def test_stated_recall_and_precision_are_those_of_the_wrong_labels():
    images, neighbours, wrong, _ = classes(0.8)
    check = check_labels(images, neighbours, precision=0.5)
    hits = np.isin(check.issues.rows, wrong)
    assert check.recall == pytest.approx(hits.sum() / WRONG, abs=0.2)
    assert hits.mean() <= check.max_precision + 0.1
    assert check.max_precision >= 0.5
    assert WRONG / COUNT * 0.6 <= check.max_wrong <= WRONG / COUNT * 2.5


def test_a_wanted_precision_leaves_fewer_and_better_issues():
    images, neighbours, wrong, _ = classes(0.6)
    everything = check_labels(images, neighbours, precision=0.0)
    better = check_labels(images, neighbours, precision=0.95)
    assert 0 < len(better.issues) < 0.5 * len(everything.issues)
    hits, better_hits = (np.isin(check.issues.rows, wrong).mean() for check in (everything, better))
    assert better_hits > 1.5 * hits
    assert better.recall < everything.recall
    # Confident learning alone names many that are merely hard.
    assert everything.candidates > len(everything.issues) > 2 * WRONG


def test_the_confident_joint_is_that_of_its_equations():
    probabilities = np.array(
        [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.55, 0.45], [0.35, 0.65]]
    )
    given = np.array([0, 0, 0, 1, 1, 1])
    # t_0 = (0.9 + 0.8 + 0.1) / 3 = 0.6; t_1 = (0.7 + 0.45 + 0.65) / 3 = 0.6.
    counted, joint = confident_joint(probabilities, given)
    assert counted.tolist() == [0, 0, 1, 1, -1, 1]
    assert joint.tolist() == [[2, 1], [0, 2]]
    candidates = find_candidates(probabilities, given)
    assert candidates.is_candidate.tolist() == [False, False, True, False, False, False]
    assert candidates.expected_wrong == pytest.approx(1.0)


def test_an_unsure_class_has_a_low_bar():
    probabilities = np.array([[0.9, 0.1]] * 8 + [[0.6, 0.4]] * 3 + [[0.56, 0.44]])
    given = np.array([0] * 8 + [1] * 3 + [0])
    counted, _ = confident_joint(probabilities, given)
    assert counted[-1] == 1  # t_1 = 0.4 is reached, t_0 = 0.86 is not


def test_where_the_neighbours_disagree_with_the_classifier_nothing_is_named():
    images, neighbours, _, _ = classes(1.2)
    same = [np.flatnonzero(images.labels == label) for label in images.labels]
    own = np.stack([rows[rows != row][:3] for row, rows in enumerate(same)])
    near = np.concatenate([own, neighbours.rows[:, :2]], axis=1)  # three votes of five
    loyal = dataclasses.replace(neighbours, rows=near, similarities=np.ones(near.shape, np.float32))
    assert len(check_labels(images, loyal, precision=0.0).issues) == 0


def test_unlabelled_images_and_small_classes_are_left_out():
    images, neighbours, _, _ = classes(1.2)
    labels = images.labels.copy()
    labels[:100] = -1
    labels[100:103] = CLASSES + 3  # three images of one class, the classes before have none
    check = check_labels(dataclasses.replace(images, labels=labels), neighbours, precision=0.5)
    assert check.checked == COUNT - 103
    assert check.unchecked == 3
    assert check.issues.rows.min() >= 103


def test_copies_do_not_vouch_for_each_other():
    images, _, wrong, _ = classes(1.2)
    # Each wrong image five times, with its label: neighbours and classifier would believe it.
    rows = np.concatenate([np.arange(COUNT), np.repeat(wrong, 4)])
    groups = np.full(len(rows), -1)
    groups[wrong] = np.arange(WRONG)
    groups[COUNT:] = np.repeat(np.arange(WRONG), 4)
    copied = images_of(images.labels[rows], images.features[rows])
    lists = sample_curation.neighbours_of(copied.features, k=15)
    redundant = np.arange(len(rows)) >= COUNT
    check = check_labels(copied, lists, precision=0.0, groups=groups, redundant=redundant)
    plain = check_labels(copied, lists, precision=0.0)
    assert np.isin(wrong, check.issues.rows).mean() >= 0.8
    assert np.isin(wrong, plain.issues.rows).mean() < 0.5


def attributes():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(COUNT, 12)).astype(np.float32)
    true = (features[:, :2] * 3 + rng.normal(size=(COUNT, 2)) * 0.2 > 0).astype(np.int64)
    labels = np.concatenate([true, np.zeros((COUNT, 1), np.int64)], axis=1)
    wrong = rng.choice(np.flatnonzero(np.abs(features[:, 1]) > 1), 20, replace=False)
    labels[wrong, 1] = 1 - labels[wrong, 1]
    return images_of(labels, features, ("a", "b", "never")), wrong


def test_attributes_are_checked_one_by_one():
    images, wrong = attributes()
    neighbours = sample_curation.neighbours_of(images.features[:, :2])
    check = check_labels(images, neighbours, precision=0.5)
    named = list(zip(check.issues.rows, check.issues.attributes, strict=True))
    assert np.mean([(row, 1) in named for row in wrong]) >= 0.8
    assert check.unchecked == COUNT  # of the attribute that no image has
    np.testing.assert_array_equal(check.issues.suggested, 1 - check.issues.given)


def test_wrong_inputs_are_refused():
    images, neighbours, _, _ = classes(1.2)

    def message(labels):
        with pytest.raises(InputError) as error:
            check_labels(dataclasses.replace(images, labels=labels), neighbours, precision=0.5)
        return str(error.value)

    assert "no labels" in message(None) or "there are none" in message(None)
    assert "1 of the classes" in message(np.zeros(COUNT, np.int64))
    assert "neither 0 nor 1" in message(np.full((COUNT, 2), -1))
    assert "no attribute" in message(np.zeros((COUNT, 2), np.int64))


def test_where_no_swapped_label_is_noticed_none_is_named():
    scores, swapped = np.array([0.2, 0.7, -1.0]), np.full(5, -1.0)
    cut, recall, precision, most_wrong = label_issues._cut(scores, swapped, 0.9)
    assert (recall, precision, most_wrong) == (0.0, 0.0, 1.0)
    assert not (scores >= cut).any()
    assert label_issues._cut(scores, swapped, 0.0)[0] == 0.2  # all candidates are asked for
