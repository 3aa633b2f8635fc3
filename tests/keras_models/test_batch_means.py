import pytest

from keras_models.batch_means import BATCH_SIZE, BatchMeans


def test_means_are_over_images_until_they_are_reset():
    means = BatchMeans()
    assert means.update({"loss": 1.0, BATCH_SIZE: 3.0}) == {"loss": 1.0}
    assert means.update({"loss": 5.0, BATCH_SIZE: 1.0}) == {"loss": 2.0}
    means.reset()
    assert means.update({"loss": 7.0, BATCH_SIZE: 2.0}) == {"loss": 7.0}


def test_every_batch_of_an_iterator_counts_and_its_end_is_raised():
    """Keras' function decides how many batches to take from other iterators."""
    values = iter([1.0, 3.0])
    function = BatchMeans().averaged(lambda _: {"loss": next(values), BATCH_SIZE: 1.0}, steps=4)
    assert function(None) == {"loss": 1.0}
    assert function(None) == {"loss": 2.0}
    with pytest.raises(StopIteration):
        function(None)
