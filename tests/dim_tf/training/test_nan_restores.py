"""How often a run went back survives in its folder."""

import pytest

from dim_tf.system.errors import NonFiniteError, RunError
from dim_tf.training.nan_restores import FILE, NanRestores

NAN = NonFiniteError("step 6: loss is nan")


def test_each_time_the_images_come_in_another_order_that_is_the_same_again(tmp_path):
    restores = NanRestores(tmp_path, seed=7, limit=2)
    seeds = [restores.data_seed]
    for step in (4, 8):
        restores.check_limit(NAN, None)
        restores.record(NAN, step)
        seeds.append(restores.data_seed)
        assert NanRestores(tmp_path, seed=7, limit=2).data_seed == seeds[-1]
    assert seeds[0] == 7
    assert len(set(seeds)) == 3
    with pytest.raises(RunError, match=r"after going back 2 times; .* more --nan_restores"):
        restores.check_limit(NAN, None)

    # From a checkpoint before the second time, that time will come again.
    again = NanRestores(tmp_path, seed=7, limit=2)
    again.forget_after(6)
    assert again.data_seed == seeds[1]
    again.forget_after(2)
    assert again.data_seed == seeds[0]


def test_without_the_flag_the_first_ends_the_run(tmp_path):
    with pytest.raises(RunError, match=r"loss is nan; the last good .* ckpt-4\..*--on_nan=restore"):
        NanRestores(tmp_path, seed=0, limit=0).check_limit(NAN, "ckpt-4")


def test_one_worker_of_several_writes(tmp_path):
    NanRestores(tmp_path, seed=0, limit=1, writes=False).record(NAN, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"back_to_steps": [4], "sha256": "0"}',
        '{"back_to_steps": ["4"]}',
        '{"back_to_steps": [true]}',
        '{"back_to_steps": "4"}',
        '{"back_to_steps": {"4": 4}}',
    ],
)
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(RunError, match=r"nan_restores.json is damaged .* --noresume"):
        NanRestores(tmp_path, seed=0, limit=1)
