"""The multiply-adds of a training step, beside a count by hand."""

import pytest
import step_flops


def test_basic32x32_by_hand():
    forward = {
        "conv0": 16 * 16 * 4 * 4 * 3 * 64,
        "conv1": 8 * 8 * 4 * 4 * 64 * 128,
        "conv2": 4 * 4 * 4 * 4 * 128 * 256,
        "dense0": 4 * 4 * 256 * 1024,
        "dense1": 1024 * 64,
    }
    products = step_flops.encoder_products("basic32x32")
    assert {product.name: product.forward for product in products} == forward
    assert sum(forward.values()) == 21_823_488
    # The images have no gradient; everything else has two.
    assert sum(p.step for p in products) == 3 * 21_823_488 - forward["conv0"]
    assert step_flops.local_map("basic32x32") == (64, 128)


def test_pooling_shrinks_the_next_convolution():
    products = {p.name: p.forward for p in step_flops.encoder_products("alex64x64")}
    # 64 -> pool 31 -> conv1 at 31x31.
    assert products["conv1"] == 31 * 31 * 3 * 3 * 96 * 192


def test_dot_critic_by_hand():
    u, n, locations = 512, 64, 64
    local_side = locations * (128 * u + u * u + 128 * u)
    global_side = 64 * u + u * u + 64 * u
    products = step_flops.dot_critic_products(n, locations, 128, 64, u)
    assert sum(p.forward for p in products) == local_side + global_side + n * locations * u


def test_contracted_first_is_ninefold_cheaper():
    """35 instead of 315 million multiply-adds an image, forward."""
    whole, contracted = (
        sum(p.forward for p in step_flops.dot_critic_products(64, 64, 128, 64, 2048, layer_norm))
        for layer_norm in (True, False)
    )
    assert whole == pytest.approx(315e6, rel=0.01)
    assert contracted == pytest.approx(35e6, rel=0.02)


def test_a_step_of_the_paper():
    """About 0.29 and 2.0 GFLOP an image forward and backward."""
    for units, gigaflops in ((512, 0.295), (2048, 2.02)):
        measured = step_flops.floating_point_operations("basic32x32", units, batch=64) / 64 / 1e9
        assert measured == pytest.approx(gigaflops, rel=0.01)


def test_locations_leave_out_a_part_of_the_local_side():
    everything = step_flops.floating_point_operations("basic32x32", 512, 64)
    half = step_flops.floating_point_operations("basic32x32", 512, 64, locations=32)
    local_side = 3 * 2 * 64 * (64 * (128 + 512 + 128) * 512 + 64 * 64 * 512)
    assert everything - half == local_side / 2


def test_other_encoders_are_refused():
    with pytest.raises(ValueError, match="resnet19_32x32 is not a plain convolutional encoder"):
        step_flops.encoder_products("resnet19_32x32")


def test_two_views_are_encoded_and_held_against_each_other():
    encoder = 3 * 21_823_488 - 16 * 16 * 4 * 4 * 3 * 64
    projections = 2 * (64 * 512 + 512 * 512 + 64 * 512)  # query and context
    flops = step_flops.floating_point_operations("basic32x32", 512, 64, two_views=True)
    assert flops == 2 * 64 * 2 * (encoder + 3 * (projections + 64 * 512))
