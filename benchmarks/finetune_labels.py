r"""A classifier of CIFAR-10 from few labels: by an exported encoder, random weights, raw pixels.

    python benchmarks/finetune_labels.py --encoder_path=exported/dim_cifar10/1 \
        --data_dir=$TFDS_DATA_DIR

For each number of labels a class, images are drawn class by class, the same for every method, and
the accuracy on the test images is printed with its 95 % interval (Wilson): of the whole encoder
fine-tuned, of the head on its frozen features, of both from random weights of the same
architecture, and of scikit-learn's logistic regression on raw pixels (standardised, C = 0.01; no
other C was tried). Then the last classifier is exported and asked in other ways than TensorFlow's
Python: through the C API, arrays and bytes, and as TFLite, whose accuracies are printed too.
"""

import argparse
import base64
import dataclasses
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tensorflow.core.protobuf import saved_model_pb2

from dim_tf import data
from dim_tf.data import image_ops
from dim_tf.data.splits import Split
from dim_tf.data.validation_split import select
from dim_tf.export import classifier, encoded_input, saved_model_encoder, tflite
from dim_tf.export.feature import Feature
from dim_tf.export.publish import ExportOptions
from dim_tf.finetuning import comparison, quality
from dim_tf.finetuning.train_classifier import TrainedClassifier, train_classifier
from dim_tf.settings.finetuning import ALL, HEAD, FineTuningSettings
from keras_models import encoders
from keras_models.encoders import Encoder

C_API = Path(__file__).parents[1] / "examples/serving/c_api.py"
ASKED_IMAGES = 256  # of the test images, through the C API
PIXELS_C = 0.01


def random_encoder(path: Path, seed: int) -> Encoder:
    """The architecture of an exported encoder with random weights."""
    metadata = json.loads((path / "assets/metadata.json").read_text("utf-8"))
    keras.utils.set_random_seed(seed)
    encoder = encoders.get(
        metadata["encoder"], latent_dim=metadata["experiment"]["latent_dim"], name="encoder"
    )
    encoder.build()
    return encoder


def print_row(count: int, images: int, method: str, correct: np.ndarray) -> None:
    """A line of the table; `correct` is one number a test image, 0 or 1."""
    low, high = quality.accuracy_interval(correct, False, None)
    print(
        f"| {count} | {images:,} | {method} | {100 * correct.mean():.2f} | "
        f"{100 * low:.2f} to {100 * high:.2f} |",
        flush=True,
    )


def by_pixels(train: Split, test: Split) -> np.ndarray:
    """Whether scikit-learn's logistic regression on pixels is right, of each test image."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=PIXELS_C, max_iter=2000))
    model.fit(train.images.reshape(len(train), -1), train.labels)
    return (model.predict(test.images.reshape(len(test), -1)) == test.labels).astype(float)


def by_c_api(path: Path, folder: Path, pixels: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """The answers of serving_default and serving_bytes through the C API."""
    graph = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    encoded = [base64.b64encode(image).decode() for image in encoded_input.png_images(pixels)]
    (folder / "bytes.json").write_text(json.dumps(encoded))
    np.save(folder / "images.npy", pixels)
    files = {"serving_default": "images.npy", "serving_bytes": "bytes.json"}
    requests = []
    for name, file in files.items():
        signature = graph.meta_graphs[0].signature_def[name]
        ((_, tensor),) = signature.inputs.items()
        requests.append(
            {
                "inputs": {tensor.name: str(folder / file)},
                "outputs": {key: output.name for key, output in signature.outputs.items()},
                "answer": str(folder / f"{name}.npz"),
            }
        )
    (folder / "requests.json").write_text(json.dumps(requests))
    command = [sys.executable, C_API, path, folder / "requests.json"]
    subprocess.run(command, check=True, capture_output=True)
    return {name: dict(np.load(folder / f"{name}.npz", allow_pickle=False)) for name in files}


def print_exported(
    encoder: Encoder, trained: TrainedClassifier, folder: Path, train: Split, test: Split
) -> None:
    """Exports a classifier and prints how other runtimes answer."""
    pixels, calibration = (
        image_ops.to_unit(tf.constant(split.images)).numpy() for split in (test, train)
    )
    options = ExportOptions(calibration=calibration[:256])
    path, difference = classifier.publish_classifier(
        encoder, trained.head, folder / "cifar10-classifier", pixels[:32], options=options
    )
    print(f"\nExported; largest difference of a probability from the Keras model {difference:.1e}.")
    print("\n| way | images | largest difference of a probability | accuracy, % |")
    print("|---|---|---|---|", flush=True)
    expected = trained.probabilities
    assert expected is not None

    def row(name, probabilities):
        count = len(probabilities)
        accuracy = (probabilities.argmax(axis=1) == test.labels[:count]).mean()
        largest = np.abs(probabilities - expected[:count]).max()
        print(f"| {name} | {count:,} | {largest:.1e} | {100 * accuracy:.2f} |", flush=True)

    row("Keras", expected)
    for name, answer in by_c_api(path, folder, pixels[:ASKED_IMAGES]).items():
        row(f"C API, `{name}`", answer["probabilities"])
    for variant in classifier.VARIANTS:
        run = tflite.runner(path / variant.file, threads=2)
        parts = np.array_split(pixels, max(len(pixels) // 256, 1))
        row(f"`{variant.file}`", np.concatenate([run(part)["probabilities"] for part in parts]))


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder_path", type=Path, required=True)
    parser.add_argument("--data_dir", default="")
    parser.add_argument("--labels", type=int, nargs="+", default=[10, 50, 250])
    parser.add_argument("--test_images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=FineTuningSettings.default("finetune_rounds"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    splits = data.load("cifar10", data.DataRequest(data_dir=arguments.data_dir))
    test = select(splits.test, np.arange(min(arguments.test_images, len(splits.test))))
    settings = FineTuningSettings(
        rounds=arguments.rounds, label_counts=(max(arguments.labels),), draws=1
    )
    subsets = dict(comparison.nested_subsets(splits.train.labels, arguments.labels, arguments.seed))
    print("| labels a class | images | method | accuracy, % | 95 % interval |")
    print("|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        for count in arguments.labels:
            train = select(splits.train, subsets[count])
            for title, make in (
                ("", lambda: saved_model_encoder.load(str(arguments.encoder_path))),
                (
                    ", random weights",
                    lambda: random_encoder(arguments.encoder_path, arguments.seed + 1),
                ),
            ):
                for layers, method in ((HEAD, "head on frozen features"), (ALL, "fine-tuned")):
                    encoder = make()
                    trained = train_classifier(
                        encoder,
                        Feature("global"),
                        train,
                        test,
                        splits.label_names,
                        dataclasses.replace(settings, layers=layers),
                        seed=arguments.seed,
                        augmentation="natural",
                        folder=Path(temporary, f"{count}{title}{layers}"),
                    )
                    assert trained.probabilities is not None
                    correct = quality.correctness(trained.probabilities, test.labels)
                    print_row(count, len(train), method + title, correct)
                    if layers == ALL and not title:
                        shipped = encoder, trained
            print_row(count, len(train), "scikit-learn on raw pixels", by_pixels(train, test))
        print_exported(*shipped, Path(temporary), train, test)


if __name__ == "__main__":
    main()
