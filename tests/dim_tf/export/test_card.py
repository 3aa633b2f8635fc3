"""The model card names only files of its folder, and escapes names from elsewhere."""

import ast
import re
import shlex
from urllib.parse import quote

import pytest

from dim_tf.evaluation import card_metrics
from dim_tf.export import card
from dim_tf.export.card_sections import TFLiteFile
from dim_tf.export.tflite import VARIANTS

METADATA = {
    **dict.fromkeys(["parameters", "steps", "batch_size", "image_size", "dimension"], 1),
    "fitted_images": 0,
    "channels": 3,
    "fit": "crop",
    **{"name": "small", "license": "[x](javascript:1)", "encoder": "e"},
    **{"training_data": "<b>|\n# b", "initial_weights": ""},
    **{
        "note": "",
        "max_pixels": 1,
        "pixel_range": [0, 9],
        "method": "",
        "objective": "",
        "signatures": {},
    },
    "feature": {"name": "global"},
    "evaluation": {
        "measures": {"<i>": {"unit": "fraction", "better": "higher", "title": ""}},
        "<i>": {"global": None},
        "knn": {},
    },
    "experiment": {"dataset": "cifar10", "image_size": 0, "validation_fraction": 0.1},
}
CHOICES = [(), *[(variant,) for variant in VARIANTS], VARIANTS, VARIANTS[::-1]]


@pytest.mark.parametrize("variants", CHOICES, ids=lambda variants: f"{len(variants)} files")
def test_the_card_loads_only_files_that_are_there(variants):
    files = [
        TFLiteFile(variant, 10**6, {"mean cosine": "0.99"}, 1.0, "1.14.0") for variant in variants
    ]
    text = card.render(METADATA, "", files, 1, 256)
    assert set(re.findall(r"encoder_\w+\.tflite", text)) == {v.file for v in variants}
    code = re.search(r"```python\n(.*?)```\n", text, re.DOTALL).group(1)
    loaded = re.findall(r"VERSION/(encoder_\w+\.tflite)", code)
    assert len(loaded) == min(1, len(variants))
    # get_signature_runner takes [N, H, W, 3] where the file does.
    by_name = {variant.file: variant for variant in variants}
    assert all(by_name[file].single_image != ("get_signature_runner" in code) for file in loaded)
    assert ("come from 256 images" in text) == any(v.precision == "int8" for v in variants)
    assert ("| any | float32 | yes | 1.14.0 |" in text) == any(not v.single_image for v in variants)


def test_the_card_says_which_feature_it_is_how_large_and_why():
    choice = {
        "name": "fc",
        "reason": "the smallest within one standard error of the best",
        "metric": "knn_and_linear_probe",
        "images": 2000,
        "dimensions": {"fc": 1024, "conv": 4096},
        "validation": {"fc": 0.737, "conv": 0.74},
    }
    metadata = METADATA | {"feature": choice, "dimension": 1024}
    text = card.render(metadata, "", [], 1, 1)
    feature = " ".join(text.split("- **Feature**: ")[1].split("\n- ")[0].split())
    assert feature == (
        "`fc`, 1,024 numbers an image: the endpoint fc, the last hidden layer. "
        "Why this one: the smallest within one standard error of the best. "
        "Mean accuracy of k-NN and a linear probe, of 2,000 training images that were left out in "
        "turn: "
        "fc 0.737 (1,024 numbers), conv 0.740 (4,096 numbers)."
    )
    metadata["feature"] = choice | {"metric": "knn_auc_and_linear_probe_auc", "reason": "<b>"}
    text = card.render(metadata, "", [], 1, 1)
    assert "Mean AUC of k-NN and a linear probe, of 2,000" in text
    assert r"Why this one: \<b\>." in text


def test_the_card_says_names_and_runs_none_of_them():
    name = 'a"); print(1) # <script>`$(id)`'
    metadata = METADATA | {"name": name}
    metrics = card_metrics.render(metadata["evaluation"])
    text = card.render(metadata, metrics, [], 1, 1)
    assert r"\<script\>\`" in text
    assert r"\[x\](javascript:1)" in text
    assert r"**Training data**: \<b\>\| \# b" in text
    assert r"| \<i\> | global |" in text
    block = re.search(r"```python\n(.*?)```\n", text, re.DOTALL).group(1)
    loaded = [n.value for n in ast.walk(ast.parse(block)) if isinstance(n, ast.Constant)]
    assert f"{name}/VERSION" in loaded
    command = re.search(r"^python -m dim_tf.main .*", text, re.MULTILINE).group()
    words = ["--mode=evaluate", "--dataset=cifar10", "--validation_fraction=0.1"]
    words += [f"--encoder_path={name}/VERSION", "--name=again", "--measures=knn", "--noreferences"]
    assert shlex.split(command)[3:] == words
    server = re.search(r"^docker run .*", text, re.MULTILINE).group()
    verified = re.search(r"^python -m dim_tf.export.verify .*", text, re.MULTILINE).group()
    assert shlex.split(verified)[3:] == [f"{name}/VERSION"]
    assert shlex.split(server)[-3:] == ["-e", f"MODEL_NAME={name}", "tensorflow/serving"]
    address = re.search(r"curl (.*) -d", text).group(1)
    assert shlex.split(address) == [f"http://localhost:8501/v1/models/{quote(name)}:predict"]
