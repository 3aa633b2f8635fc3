import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_models import views
from keras_models.distribute.randomness import StepRandom
from keras_models.views import Augmentation, Views

RANDOM = StepRandom(seed=0, step=3)


ALL_VIEWS = [Views(occluded=True), Views(Augmentation()), Views(Augmentation(), occluded=True)]


def name_of(views):
    augmented = "augmented" if views.augmentation else "whole"
    return f"{augmented}, occluded" if views.occluded else augmented


def make_images(n=8, height=12, width=10, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (n, height, width, channels)).astype(np.float32)


def test_by_default_both_see_the_same_tensor():
    images = tf.constant(make_images())
    local_images, global_images = Views()(images, RANDOM)
    assert local_images is images
    assert global_images is images


def test_occluded_is_the_global_image_alone():
    images = tf.constant(make_images())
    local_images, global_images = Views(occluded=True)(images, RANDOM)
    assert local_images is images
    np.testing.assert_array_equal(global_images, views.occlude(images, RANDOM))


def test_augmented_are_two_augmentations_of_the_same_side():
    images = make_images()
    flipped = views.flip(images, RANDOM)
    local_images, global_images = Views(Augmentation())(images, RANDOM)
    np.testing.assert_array_equal(local_images, Augmentation()(flipped, RANDOM, "local view"))
    np.testing.assert_array_equal(global_images, Augmentation()(flipped, RANDOM, "global view"))
    difference = np.abs(local_images - global_images).max(axis=(1, 2, 3))
    assert (difference > 0.05).all()


def test_augmented_and_occluded_occludes_the_second_augmentation():
    images = make_images()
    local_images, global_images = Views(Augmentation())(images, RANDOM)
    both = Views(Augmentation(), occluded=True)(images, RANDOM)
    np.testing.assert_array_equal(both[0], local_images)
    np.testing.assert_array_equal(both[1], views.occlude(global_images, RANDOM))


def test_an_augmentation_is_a_crop_and_then_color_jitter():
    images = make_images()
    crops = views.random_resized_crop(images, RANDOM, "v", 0.3)
    np.testing.assert_array_equal(
        Augmentation()(images, RANDOM, "v"), views.random_color_jitter(crops, RANDOM, "v")
    )
    crops = views.random_resized_crop(images, RANDOM, "v", 0.9)
    np.testing.assert_array_equal(Augmentation(0.9, 0.0)(images, RANDOM, "v"), crops)
    coloured = views.random_color_jitter(images, RANDOM, "v", 0.5)
    np.testing.assert_array_equal(Augmentation(1.0, 0.5)(images, RANDOM, "v"), coloured)
    assert Augmentation(1.0, 0.0)(images, RANDOM, "v") is images


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ((0.0, 1.0), "more than 0, at most 1"),
        ((1.1, 1.0), "more than 0, at most 1"),
        ((0.5, -0.1), "give 0 to 2"),
        ((0.5, 2.1), "give 0 to 2"),
    ],
)
def test_an_augmentation_that_cannot_be_raises(wrong, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(*wrong)


@pytest.mark.parametrize("fraction", [0.5, 0.3, 0.0, 1.0])
def test_occluded_is_one_block_of_mid_grey(fraction):
    images = np.full((40, 12, 10, 3), 0.7, np.float32)
    occluded = views.occlude(images, RANDOM, fraction).numpy()
    assert set(np.unique(occluded)) <= {np.float32(0), np.float32(0.7)}
    covered = occluded == 0
    assert (covered.all(-1) == covered.any(-1)).all()
    for mask in covered[..., 0]:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert (len(rows), len(columns)) == (round(fraction * 12), round(fraction * 10))
        assert mask.sum() == len(rows) * len(columns)
        assert (np.diff(rows) == 1).all()
        assert (np.diff(columns) == 1).all()


def test_the_block_is_uniform_over_all_offsets_where_it_fits():
    occluded = views.occlude(np.ones((4000, 6, 4, 1), np.float32), RANDOM).numpy()[..., 0] == 0
    corners = occluded.any(2).argmax(1), occluded.any(1).argmax(1)
    counts = np.histogram2d(*corners, bins=[range(5), range(4)])[0]
    np.testing.assert_allclose(counts / 4000, 1 / 12, atol=0.02)


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_a_block_larger_than_the_image_raises(fraction):
    with pytest.raises(ValueError, match=f"{fraction}.*give 0 to 1"):
        views.occlude(make_images(), RANDOM, fraction)


def test_the_identity_crop_is_the_image():
    images = make_images()
    boxes = tf.tile([[0.0, 0.0, 12.0, 10.0]], [8, 1])
    np.testing.assert_array_equal(views.resized_crop(images, boxes), images)


def test_a_crop_of_whole_pixels_is_resized_as_tensorflow_does():
    images = make_images(5)
    boxes = [[0, 0, 12, 10], [2, 3, 7, 4], [5, 0, 1, 10], [11, 9, 1, 1], [0, 5, 12, 5]]
    crops = views.resized_crop(images, tf.constant(boxes, tf.float32))
    for image, (top, left, height, width), crop in zip(images, boxes, crops, strict=True):
        part = image[top : top + height, left : left + width]
        np.testing.assert_allclose(crop, tf.image.resize(part, (12, 10)), atol=1e-6)


def test_a_crop_between_pixels_is_that_of_crop_and_resize():
    """Which samples a grid with corners on the first and last sources, H - 1 and W - 1 apart."""
    images = make_images()
    boxes = views.crop_boxes(RANDOM.uniform("crop", 8, (4,)), 12, 10)
    top, left, height, width = tf.unstack(boxes, axis=1)

    def ends(first, length, size):
        inset = length / size / 2 - 0.5  # of the first pixel's centre from the box's edge
        return (first + inset) / (size - 1), (first + length - 1 - inset) / (size - 1)

    (y0, y1), (x0, x1) = ends(top, height, 12), ends(left, width, 10)
    expected = tf.image.crop_and_resize(
        images, tf.stack([y0, x0, y1, x1], 1), tf.range(8), (12, 10)
    )
    # Sources between a box's edge and its first pixel's centre are clipped to the latter here.
    inner = np.s_[:, 2:-2, 2:-2]
    np.testing.assert_allclose(
        views.resized_crop(images, boxes).numpy()[inner], expected.numpy()[inner], atol=1e-4
    )


def test_crop_boxes():
    noise = RANDOM.uniform("crop", 4000, (4,))
    top, left, height, width = views.crop_boxes(noise, 40, 30).numpy().T
    assert min(top.min(), left.min()) >= 0
    assert (top + height).max() <= 40 + 1e-4
    assert (left + width).max() <= 30 + 1e-4
    whole = (height < 40) & (width < 30)  # sides that were not cut
    area, aspect = (height * width / 1200)[whole], (width / height)[whole]
    assert 0.3 <= area.min() < 0.31
    assert area.max() > 0.95
    assert 0.7 - 1e-4 <= aspect.min() < 0.71
    assert 1.39 < aspect.max() <= 1.4 + 1e-4
    # Small boxes always fit, so that their shapes and positions show how they are drawn.
    small = area < 0.5
    np.testing.assert_allclose(np.median(np.log(aspect[small])), math.log(0.98) / 2, atol=0.03)
    slack = top[whole] / (40 - height[whole]), left[whole] / (30 - width[whole])
    for fraction in slack:
        np.testing.assert_allclose(
            np.quantile(fraction, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.03
        )
    correlations = np.corrcoef(np.array([*slack, area, aspect])[:, small])
    np.testing.assert_allclose(correlations, np.eye(4), atol=0.12)


@pytest.mark.parametrize("min_scale", [0.08, 0.8])
def test_the_smallest_crop(min_scale):
    """Of the widest aspects sides may be cut; of the others the area is uniform up to the whole."""
    noise = RANDOM.uniform("crop", 4000, (4,))
    _, _, height, width = views.crop_boxes(noise, 40, 40, min_scale).numpy().T
    whole = (height < 40) & (width < 40)
    area = (height * width / 1600)[whole]
    assert min_scale <= area.min() < min_scale + 0.02
    expected = min_scale + (1 - min_scale) * noise[:, 0].numpy()[whole]
    np.testing.assert_allclose(area, expected, rtol=1e-4)


def test_crop_boxes_of_tiny_images_have_a_pixel_at_least():
    boxes = views.crop_boxes(RANDOM.uniform("crop", 100, (4,)), 1, 2)
    np.testing.assert_array_equal(boxes[:, 2], 1)
    assert np.isfinite(views.resized_crop(make_images(100, 1, 2), boxes)).all()


def test_random_crops_are_those_boxes_of_the_images():
    images = make_images()
    boxes = views.crop_boxes(RANDOM.uniform("local view: crop", 8, (4,)), 12, 10)
    np.testing.assert_array_equal(
        views.random_resized_crop(images, RANDOM, "local view"), views.resized_crop(images, boxes)
    )


def test_flip_mirrors_half_of_the_images_left_to_right():
    images = make_images(1000, 4, 6)
    flipped = views.flip(images, RANDOM).numpy()
    mirrored = (flipped == images[:, :, ::-1]).all((1, 2, 3))
    same = (flipped == images).all((1, 2, 3))
    assert (mirrored ^ same).all()
    assert 0.45 < mirrored.mean() < 0.55


@pytest.mark.parametrize("of", ALL_VIEWS, ids=name_of)
@pytest.mark.parametrize("channels", [1, 3])
def test_views_are_float32_images_of_the_same_shape(of, channels):
    images = np.sign(make_images(64, channels=channels))  # extreme values
    for view in of(images, RANDOM):
        assert view.dtype == tf.float32
        assert view.shape == images.shape
        assert np.abs(view).max() <= 1


@pytest.mark.parametrize("of", ALL_VIEWS, ids=name_of)
def test_seed_and_step_decide_the_views(of):
    images = make_images()
    first, again = of(images, RANDOM)[1], of(images, StepRandom(0, tf.constant(3)))[1]
    np.testing.assert_array_equal(first, again)
    for other in (StepRandom(0, 4), StepRandom(1, 3)):
        assert np.abs(of(images, other)[1] - first).max() > 0.05


def test_images_get_noise_of_their_own():
    images = np.repeat(make_images(1), 8, axis=0)
    for view in Views(Augmentation())(images, RANDOM):
        assert len(np.unique(view.numpy().reshape(8, -1), axis=0)) == 8


@pytest.mark.slow
def test_xla_equals_eager():
    of = Views(Augmentation(), occluded=True)

    @tf.function(jit_compile=True)
    def compiled(images, step):
        return of(images, StepRandom(0, step))

    images = make_images()
    for view, expected in zip(compiled(images, 3), of(images, RANDOM), strict=True):
        np.testing.assert_allclose(view, expected, atol=1e-5)


def test_replicas_take_the_views_of_one_device(two_replicas):
    of, images = Views(Augmentation(), occluded=True), make_images()
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.split(tf.constant(images), 2)[context.replica_id_in_sync_group]
    )

    @tf.function
    def on_replicas(images, step):
        return two_replicas.run(lambda x: of(x, StepRandom(0, step)), [images])

    for parts, expected in zip(on_replicas(halves, 3), of(images, RANDOM), strict=True):
        view = np.concatenate(two_replicas.experimental_local_results(parts))
        np.testing.assert_allclose(view, expected, atol=1e-5)


def test_a_graph_of_a_batch_of_unknown_size_equals_eager():
    of = Views(Augmentation(), occluded=True)
    images = make_images()
    signature = [tf.TensorSpec([None, 12, 10, 3])]
    compiled = tf.function(lambda x: of(x, RANDOM), input_signature=signature)
    for view, expected in zip(compiled(images), of(images, RANDOM), strict=True):
        np.testing.assert_allclose(view, expected, atol=1e-5)


@pytest.mark.parametrize("of", [Views(), *ALL_VIEWS], ids=name_of)
def test_serialisation_round_trip(of):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(of))
    assert type(again) is Views
    assert again.get_config() == of.get_config()
    assert (again.augmentation is None) == (of.augmentation is None)
