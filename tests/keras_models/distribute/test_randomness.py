import numpy as np
import pytest
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom, derive_seed


def draw(seed=0, step=0, purpose="prior", examples=64, shape=(5,)):
    return StepRandom(seed, step).uniform(purpose, examples, shape).numpy()


def test_uniform_in_the_unit_interval():
    numbers = draw(examples=1000, shape=(3, 2))
    assert numbers.shape == (1000, 3, 2)
    assert numbers.dtype == np.float32
    assert numbers.min() >= 0
    assert numbers.max() < 1
    np.testing.assert_allclose(
        np.quantile(numbers, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.03
    )


def test_same_arguments_give_the_same_numbers():
    np.testing.assert_array_equal(draw(3, 4), draw(3, 4))


def test_step_may_be_a_tensor_or_an_optimizer_variable():
    np.testing.assert_array_equal(draw(step=tf.constant(7)), draw(step=7))
    np.testing.assert_array_equal(draw(step=tf.Variable(7, dtype=tf.int64)), draw(step=7))


@pytest.mark.parametrize("other", [{"seed": 1}, {"step": 1}, {"purpose": "dropout"}])
def test_other_seeds_steps_and_purposes_give_unrelated_numbers(other):
    first, second = draw().ravel(), draw(**other).ravel()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.25  # 320 numbers: four standard errors


def test_seed_and_step_are_not_interchangeable():
    assert not np.array_equal(draw(seed=0, step=1), draw(seed=1, step=0))


def test_derived_seeds_are_distinct_31_bit_numbers():
    seeds = {derive_seed(seed, purpose) for seed in range(100) for purpose in ("a", "b")}
    assert len(seeds) == 200
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_derived_seeds_do_not_change_between_versions():
    """A run that is resumed by a later version must go on with the same numbers."""
    assert derive_seed(0, "prior") == 535_099_207


@pytest.mark.parametrize("jit_compile", [False, True])
def test_graph_and_xla_equal_eager(jit_compile):
    @tf.function(jit_compile=jit_compile)
    def compiled(step, images):
        return StepRandom(0, step).uniform("prior", tf.shape(images)[0], (5,))

    numbers = compiled(tf.constant(3), tf.zeros([8, 2]))
    np.testing.assert_array_equal(numbers, draw(step=3, examples=8))


def test_replicas_take_their_rows_of_the_global_batch(two_replicas):
    @tf.function
    def on_replicas(step):
        def replica(step):
            return StepRandom(0, step).uniform("prior", 4, (5,))

        return two_replicas.run(replica, [step])

    parts = two_replicas.experimental_local_results(on_replicas(tf.constant(3)))
    np.testing.assert_array_equal(np.concatenate(parts), draw(step=3, examples=8))
    assert not np.array_equal(*parts)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_choice_is_a_fair_sample_without_repetition(jit_compile):
    @tf.function(jit_compile=jit_compile)
    def chosen(step):
        return StepRandom(0, step).choice("locations", 6, 2)

    drawn = np.array([chosen(tf.constant(step)) for step in range(600)])
    assert drawn.shape == (600, 2)
    assert (drawn[:, 0] != drawn[:, 1]).all()
    # Each of 6 is drawn 200 times; a standard deviation of a binomial count is 11.5.
    np.testing.assert_allclose(np.bincount(drawn.ravel(), minlength=6), 200, atol=50)


def test_choice_is_the_same_on_every_replica(two_replicas):
    @tf.function
    def on_replicas(step):
        return two_replicas.run(lambda s: StepRandom(0, s).choice("locations", 64, 16), [step])

    first, second = two_replicas.experimental_local_results(on_replicas(tf.constant(3)))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("size", [0, 7])
def test_choice_of_too_many_raises(size):
    with pytest.raises(ValueError, match="from 1 to 6"):
        StepRandom(0, 0).choice("locations", 6, size)
