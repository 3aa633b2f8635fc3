import pytest

from keras_models.batch_means import IMAGES, BatchMeans


def test_means_are_over_images_until_they_are_reset():
    means = BatchMeans()
    assert means.after({"loss": 1.0, IMAGES: 3.0}) == {"loss": 1.0}
    assert means.after({"loss": 5.0, IMAGES: 1.0}) == {"loss": 2.0}
    means.reset()
    assert means.after({"loss": 7.0, IMAGES: 2.0}) == {"loss": 7.0}


def test_several_batches_of_an_iterator_count_and_its_end_is_passed_on():
    """Of other iterators Keras' function takes what it wants."""
    values = iter([1.0, 3.0])
    function = BatchMeans().of(lambda _: {"loss": next(values), IMAGES: 1.0}, steps=4)
    assert function(None) == {"loss": 1.0}
    assert function(None) == {"loss": 2.0}
    with pytest.raises(StopIteration):
        function(None)
