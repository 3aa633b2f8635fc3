import numpy as np
import pytest
import small_baseline as small

from keras_models.encoders import ConvNet
from keras_models.randomness import StepRandom


@pytest.mark.slow
def test_each_scale_pairs_the_two_views_both_ways_round():
    model = small.made(small.amdim)
    views = model.views(small.BATCH.images, StepRandom(0, 0))
    a, b = (model.encoder(x, training=True) for x in views)
    total = 0.0
    for term, (anchor, place) in zip(
        model.terms, (("global", "local"), ("global", "conv"), ("conv", "conv")), strict=True
    ):
        for mine, other in ((a, b), (b, a)):
            value = term.estimator(term.critic(mine[place], other[anchor], training=True))
            total -= 0.5 * value
    metrics = small.made(small.amdim).train_step(small.BATCH.images)
    np.testing.assert_allclose(metrics["loss"], total, rtol=1e-4)
    bounds = [metrics[f"{name}_mi"] for name in ("global_local", "global_conv", "conv_conv")]
    np.testing.assert_allclose(metrics["loss"], -sum(bounds), rtol=1e-5)


def test_local_to_local_pairs_every_place_with_every_other():
    model = small.made(small.amdim)
    maps = model.encoder(small.IMAGES)["conv"]  # [16, 2, 2, 8]
    scores = model.terms[2].critic(maps, maps, training=True)
    assert scores.joint.shape == (16, 4, 4)


def test_an_encoder_without_convolutions_is_refused():
    encoder = ConvNet((8, 8, 1), ((4, 4, 2, 1),), (8,), 0, 5)
    del encoder.endpoints["conv"]
    with pytest.raises(ValueError, match="no endpoint conv"):
        small.amdim(encoder)
