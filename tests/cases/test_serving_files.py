"""What is written for TensorFlow Serving serves what clients send and ask for."""

import concurrent.futures
import re

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from dim_tf.export import serving


def parameters():
    """The numbers of batching.config, by name."""
    pairs = re.findall(r"^(\w+) \{ value: (\w+) \}$", serving.BATCHING_CONFIG, re.MULTILINE)
    return {name: int(value) if value.isdecimal() else value == "true" for name, value in pairs}


@pytest.fixture(scope="module")
def batched():
    """A function behind the scheduler that TensorFlow Serving's batching has, with our numbers.

    By the op, `max_batch_size` is the scheduler's `input_batch_size_limit`, and the last of
    `allowed_batch_sizes` its `max_execution_batch_size`.
    """
    batching = parameters()
    split = batching.get("enable_large_batch_splitting", False)
    sizes = []

    @tf.nondifferentiable_batch_function(
        num_batch_threads=batching["num_batch_threads"],
        max_batch_size=batching["max_batch_size"],
        batch_timeout_micros=batching["batch_timeout_micros"],
        max_enqueued_batches=batching["max_enqueued_batches"],
        enable_large_batch_splitting=split,
        allowed_batch_sizes=[batching["max_execution_batch_size"]] if split else None,
    )
    def double(x):
        tf.py_function(lambda n: sizes.append(int(n)), [tf.shape(x)[0]], [])
        return 2 * x

    return tf.function(lambda x: double(x), input_signature=[tf.TensorSpec([None, 4])]), sizes


@pytest.mark.parametrize("count", [1, 64, 65, 200, 4096])
def test_a_request_of_any_size_is_served(batched, count):
    call, sizes = batched
    del sizes[:]
    images = np.random.default_rng(count).random((count, 4), np.float32)
    np.testing.assert_array_equal(call(images), 2 * images)
    assert max(sizes) <= 64


def test_large_requests_of_several_clients_do_not_mix(batched):
    call, _ = batched
    requests = [np.full((65 + n, 4), n, np.float32) for n in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(call, requests))
    for images, answer in zip(requests, answers, strict=True):
        np.testing.assert_array_equal(answer, 2 * images)


def test_the_head_of_models_config_says_how_to_serve_another_version():
    text = serving.models_config(["digits"])
    policies = re.findall(r"^# +(model_version_policy \{.*?\})(?: {2,}|$)", text, re.MULTILINE)
    chosen = []
    for policy in policies:
        config = model_server_config_pb2.ModelServerConfig()
        changed = text.replace(
            'model_platform: "tensorflow"', f'model_platform: "tensorflow" {policy}'
        )
        text_format.Parse(changed, config)
        (model,) = config.model_config_list.config
        chosen.append(model.model_version_policy.WhichOneof("policy_choice"))
    assert chosen == ["specific", "latest", "all"]
