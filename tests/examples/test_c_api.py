"""The SavedModel answers without Python's TensorFlow, loaded as TensorFlow Serving loads it."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_export
import tensorflow as tf
from small_export import close, images
from tensorflow.core.protobuf import saved_model_pb2

from dim_tf.export import classifier_saved_model, encoded_input, saved_model

SCRIPT = Path(__file__).parents[2] / "examples/serving/c_api.py"
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs .so files")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An export with every signature that there is."""
    path = tmp_path_factory.mktemp("exported") / "1"
    encoder = small_export.small_encoder()
    wanted = saved_model.keras_features(encoder, images(20))
    ids = tuple(f"number {n}" for n in range(20))
    small_export.save(
        path,
        encoder,
        quantization=saved_model.Quantization.fit(wanted),
        neighbours=saved_model.NeighboursIndex(ids, wanted, 3),
    )
    return path


def tensor_names(path):
    """{signature: (input key, its tensor's name, {output key: its tensor's name})}."""
    graph = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    names = {}
    for name, signature in graph.meta_graphs[0].signature_def.items():
        if signature.inputs:  # not the one that initializes
            ((key, tensor),) = signature.inputs.items()
            names[name] = key, tensor.name, {k: t.name for k, t in signature.outputs.items()}
    return names


def ask(path, folder, asked):
    """Sends [(signature, input)] to one process; its lines, and the answers as arrays."""
    names, requests = tensor_names(path), []
    for number, (signature, inputs) in enumerate(asked):
        _, tensor, outputs = names[signature]
        file = folder / f"{number}.{'json' if isinstance(inputs, list) else 'npy'}"
        if isinstance(inputs, list):
            file.write_text(json.dumps([base64.b64encode(one).decode() for one in inputs]))
        else:
            np.save(file, inputs)
        answer = str(folder / f"answer{number}.npz")
        requests.append({"inputs": {tensor: str(file)}, "outputs": outputs, "answer": answer})
    (folder / "requests.json").write_text(json.dumps(requests))
    done = subprocess.run(
        [sys.executable, SCRIPT, path, folder / "requests.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    answers = [
        dict(np.load(request["answer"])) if line == "ok" else None
        for request, line in zip(requests, lines, strict=True)
    ]
    return lines, answers


@pytest.mark.slow
def test_every_signature(exported, tmp_path):
    signatures = tf.saved_model.load(str(exported)).signatures
    inputs = {"images": images(), "image_bytes": encoded_input.png_images(images())}
    asked = [(name, inputs[key]) for name, (key, _, _) in tensor_names(exported).items()]
    assert {name for name, _ in asked} == set(signatures)
    assert len(asked) == 6
    lines, answers = ask(exported, tmp_path, asked)
    assert lines == ["ok"] * len(asked)
    for (name, value), answer in zip(asked, answers, strict=True):
        key = "image_bytes" if isinstance(value, list) else "images"
        wanted = signatures[name](**{key: tf.constant(value)})
        assert set(answer) == set(wanted)
        for output, x in wanted.items():
            if x.dtype == tf.string:
                assert answer[output].tolist() == x.numpy().tolist()
            else:
                close(answer[output], x)


@pytest.mark.slow
def test_a_bad_image_fails_its_own_request(exported, tmp_path):
    good = encoded_input.png_images(images())
    bad = [good[0][:50], *good[1:]]
    asked = [
        ("serving_bytes", good),
        ("serving_bytes", bad),
        ("serving_bytes", [b"not an image"]),
        ("serving_bytes_valid", bad),
        ("serving_bytes", good),
    ]
    lines, answers = ask(exported, tmp_path, asked)
    assert [line == "ok" for line in lines] == [True, False, False, True, True]
    assert "is not JPEG or PNG" in lines[2]
    assert answers[3]["valid"].tolist() == [False, *[True] * 5]
    np.testing.assert_array_equal(answers[4]["global"], answers[0]["global"])
    close(answers[3]["global"][1:], answers[0]["global"][1:])


@pytest.mark.slow
def test_a_classifier_gives_the_same_probabilities_and_names(tmp_path):
    path, encoder, head = tmp_path / "1", small_export.small_encoder(), small_export.head()
    classifier_saved_model.save(encoder, head, path, saved_model.SavedModelOptions({}))
    encoded = encoded_input.png_images(images())
    asked = [("serving_default", images()), ("serving_bytes", encoded)]
    lines, answers = ask(path, tmp_path, asked)
    assert lines == ["ok", "ok"]
    wanted = head.probabilities(saved_model.keras_features(encoder, images()))
    for answer in answers:
        np.testing.assert_allclose(answer["probabilities"], wanted, atol=1e-5)
        names = np.array([name.encode() for name in head.label_names])
        np.testing.assert_array_equal(answer["classes"], names[wanted.argmax(axis=1)])
