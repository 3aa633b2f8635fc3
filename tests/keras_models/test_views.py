import keras
import numpy as np
import pytest
import tensorflow as tf

from dim_tf import registry
from keras_models import color_jitter, resampling, views
from keras_models.distribute.randomness import StepRandom
from keras_models.views import Augmentation, Views

RANDOM = StepRandom(seed=0, step=3)
GOLDEN = [-0.2092202, 0.0513234, -0.3358701, -1.0, 0.2318147, 0.4004512, -0.2102912, -0.2110054]


ALL_VIEWS = [
    Views(occluded=True),
    Views(Augmentation()),
    Views(Augmentation(), occluded=True),
    *(Views(Augmentation(kind=kind)) for kind in views.KINDS if kind != "natural"),
]


def name_of(views):
    augmented = views.augmentation.kind if views.augmentation else "whole"
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
        Augmentation()(images, RANDOM, "v"), color_jitter.random_color_jitter(crops, RANDOM, "v")
    )
    crops = views.random_resized_crop(images, RANDOM, "v", 0.9)
    np.testing.assert_array_equal(Augmentation(0.9, 0.0)(images, RANDOM, "v"), crops)
    coloured = color_jitter.random_color_jitter(images, RANDOM, "v", 0.5)
    np.testing.assert_array_equal(Augmentation(1.0, 0.5)(images, RANDOM, "v"), coloured)
    assert Augmentation(1.0, 0.0)(images, RANDOM, "v") is images


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ((0.0, 1.0), "more than 0, at most 1"),
        ((1.1, 1.0), "more than 0, at most 1"),
        ((0.5, -0.1), "give 0 to 2"),
        ((0.5, 2.1), "give 0 to 2"),
        ((0.5, 1.0, "none"), "give one of natural, document, aerial, microscopy"),
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


def test_random_crops_are_those_boxes_of_the_images():
    images = make_images()
    boxes = resampling.crop_boxes(RANDOM.uniform("local view: crop", 8, (4,)), 12, 10, 0.3)
    np.testing.assert_array_equal(
        views.random_resized_crop(images, RANDOM, "local view"),
        resampling.resized_crop(images, boxes),
    )


def test_flip_mirrors_half_of_the_images_left_to_right():
    images = make_images(1000, 4, 6)
    flipped = views.flip(images, RANDOM).numpy()
    mirrored = (flipped == images[:, :, ::-1]).all((1, 2, 3))
    same = (flipped == images).all((1, 2, 3))
    assert (mirrored ^ same).all()
    assert 0.45 < mirrored.mean() < 0.55


@pytest.mark.parametrize("of", ALL_VIEWS, ids=name_of)
@pytest.mark.parametrize("channels", [1, 3, 5])
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
@pytest.mark.parametrize("kind", views.KINDS)
def test_xla_equals_eager(kind):
    of = Views(Augmentation(kind=kind), occluded=True)

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


def test_kinds_are_those_of_the_settings():
    assert (*views.KINDS, "none") == registry.AUGMENTATIONS


def test_natural_views_stay_the_same():
    """Those of an earlier commit: no resumed run may change."""
    context, query = Views(Augmentation(0.2, 0.5))(make_images(), RANDOM)
    pixels = [float(view[n, 5, 6, 1]) for view in (context, query) for n in range(4)]
    np.testing.assert_allclose(pixels, GOLDEN, atol=1e-6)


def test_a_view_is_turned_then_rotated_then_cropped_and_blurred_then_coloured():
    images = make_images(64, 12, 12)
    sigma = views.random_blur(images, RANDOM, "v")
    expected = views.random_turn(images, RANDOM, "v")
    expected = views.random_rotation(expected, RANDOM, "v", 180.0)
    expected = views.random_resized_crop(expected, RANDOM, "v", 0.3, sigma)
    colors = views.KINDS["microscopy"].colors
    expected = color_jitter.random_color_jitter(expected, RANDOM, "v", 1.0, colors)
    augmented = Augmentation(kind="microscopy")(images, RANDOM, "v")
    np.testing.assert_array_equal(augmented, expected)


def test_without_crops_a_document_is_rotated_and_blurred():
    images = make_images(64)
    rotated = views.random_rotation(images, RANDOM, "v", 5.0)
    blurred = resampling.gaussian_blur(rotated, views.random_blur(images, RANDOM, "v"))
    np.testing.assert_array_equal(Augmentation(1.0, 0.0, "document")(images, RANDOM, "v"), blurred)


def test_half_of_the_images_are_blurred_by_up_to_a_hundredth_of_a_side():
    for side, most in ((28, 0.75), (224, 2.24)):
        sigma = views.random_blur(np.zeros([2000, 2, side, 1]), RANDOM, "v").numpy()
        assert 0.47 < (sigma == 0).mean() < 0.53
        np.testing.assert_allclose(np.median(sigma[sigma > 0]), most / 2, rtol=0.06)
        assert 0.98 * most < sigma.max() < most


def test_angles_are_uniform_to_both_sides(monkeypatch):
    monkeypatch.setattr(resampling, "rotate", lambda images, angle: angle)
    angles = np.degrees(views.random_rotation(np.zeros([2000, 1, 1, 1]), RANDOM, "v", 5.0))
    np.testing.assert_allclose(
        np.quantile(angles, [0, 0.25, 0.5, 0.75, 1]), [-5, -2.5, 0, 2.5, 5], atol=0.25
    )


def test_turns_are_equally_likely(monkeypatch):
    monkeypatch.setattr(resampling, "turn", lambda images, element: element)
    elements = views.random_turn(np.zeros([4000, 1, 1, 1]), RANDOM, "v").numpy()
    np.testing.assert_allclose(np.bincount(elements) / 4000, np.full(8, 1 / 8), atol=0.02)


@pytest.mark.parametrize("kind", views.KINDS)
def test_a_document_is_never_mirrored(kind):
    """An image that is dark on the left stays so, as text stays readable; others need not."""
    images = np.where(np.arange(16) < 8, -0.5, 0.5)[None, None, :, None]
    images = np.broadcast_to(images, (200, 16, 16, 3)).astype(np.float32)
    for view in Views(Augmentation(kind=kind))(images, RANDOM):
        is_mirrored = view.numpy()[..., :8, :].mean((1, 2, 3)) > view.numpy()[..., 8:, :].mean(
            (1, 2, 3)
        )
        assert is_mirrored.any() == (kind != "document")


@pytest.mark.parametrize("kind", ["document", "microscopy"])
def test_a_grey_image_stays_grey(kind):
    images = np.repeat(make_images(64, channels=1), 3, axis=-1)
    for view in Views(Augmentation(kind=kind))(images, RANDOM):
        spread = np.ptp(view, axis=-1).max()
        assert (spread < 1e-6) == (kind == "document")  # stains are colours
