"""Settings of --mode=finetune."""

import pytest

from dim_tf.settings.finetuning import FineTuningSettings
from dim_tf.system.errors import InputError


def test_flags_have_the_stages_name():
    assert "finetune_label_counts" in FineTuningSettings.flags()


@pytest.mark.parametrize("counts", [(5, 1), (5, 5)])
def test_numbers_of_labels_ascend(counts):
    with pytest.raises(InputError, match=r"--finetune_label_counts=5,.; expected ascending"):
        FineTuningSettings(label_counts=counts)


def test_early_layers_do_not_learn_faster_than_late_ones():
    with pytest.raises(InputError, match=r"--finetune_early_rate=0\.5 is higher than"):
        FineTuningSettings(early_rate=0.5)


def test_more_than_half_of_the_labels_are_not_for_validation():
    with pytest.raises(InputError, match=r"--finetune_validation_fraction=0\.6; expected at most"):
        FineTuningSettings(validation_fraction=0.6)
