"""Settings of evaluation: the models of --reference."""

import os

import pytest

from dim_tf.settings.evaluation import EvaluationSettings
from dim_tf.system.errors import InputError


@pytest.mark.parametrize(
    ("reference", "paths"),
    [
        ("", {}),
        ("a/net.keras", {"net": "a/net.keras"}),
        ("exported/dim_cifar10/1", {"dim_cifar10/1": "exported/dim_cifar10/1"}),
        ("/7", {"7": "/7"}),
        ("models/v2.1/", {"v2.1": "models/v2.1/"}),
        ("mine=a/net.keras, b", {"mine": "a/net.keras", "b": "b"}),
        ("a=b=c", {"a": "b=c"}),
        ("./a=b", {"a=b": "./a=b"}),
        ("m=~/a", {"m": os.path.expanduser("~/a")}),
        ("~/a", {"a": os.path.expanduser("~/a")}),
    ],
)
def test_a_reference_has_the_name_of_its_file_or_its_own(reference, paths):
    assert EvaluationSettings(reference=reference).reference_paths == paths


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("a.keras,b/a.keras", "'a' names two models; give another one by NAME=PATH"),
        ("pixels=a", "'pixels' is the name of something else"),
        ("random_weights", "'random_weights' is the name of something else"),
        ("a,,b", "has an empty name or path"),
        ("=a", "has an empty name or path"),
        ("a=", "has an empty name or path"),
    ],
)
def test_names_of_references_are_different_and_not_empty(reference, says):
    with pytest.raises(InputError, match=f"^--reference={reference}.*{says}"):
        EvaluationSettings(reference=reference)


def test_a_reference_and_no_references_do_not_go_together():
    with pytest.raises(InputError, match="--reference and --noreferences are both given"):
        EvaluationSettings(reference="a", references=False)
