r"""Compares an export with the trained encoder in every way of using it.

    python benchmarks/export_parity.py --run_dir=runs/cifar10 --saved_model=exported/cifar10/1 \
        --data_dir=$TFDS_DATA_DIR

Calls the export in every way that users do, compares the features on test images with those of the
Keras model restored from the run folder, and prints Markdown tables; ways whose library is not
installed are listed as not run. For the TFLite files, a linear probe (logistic regression on
standardised features) trained on the Keras model's features is applied unchanged to the file's
features, and another one is trained on these. Also fine-tunes the export for one epoch as a Keras
layer, saves that model, loads it again and compares the two.
"""

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from tensorflow.core.protobuf import saved_model_pb2

from dim_tf import data
from dim_tf.data import image_ops
from dim_tf.data.splits import Split
from dim_tf.experiment import Experiment
from dim_tf.export import EncoderLayer, encoded_input, saved_model, tflite
from dim_tf.export.feature import Feature
from dim_tf.training.model import load_trained

IMAGES = 256  # for the comparison of features
BATCH = 256
C_API = Path(__file__).parents[1] / "examples/serving/c_api.py"
# tf_keras is Keras 2, which a process chooses before it imports TensorFlow.
KERAS_2 = """
import sys, numpy as np, tf_keras, tensorflow_hub as hub
layer = hub.KerasLayer(sys.argv[1], trainable=True)
model = tf_keras.Sequential([layer])
np.save(sys.argv[3], model.predict(np.load(sys.argv[2], allow_pickle=False), verbose=0))
assert layer.trainable_weights
"""


def pixels_of(images: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W, C] -> float32 [N, H, W, 3] in [0, 1]."""
    return image_ops.with_channels(image_ops.to_unit(tf.constant(images)), 3).numpy()


def in_batches(call: Callable, images: np.ndarray) -> np.ndarray:
    """Features [N, D] of uint8 images."""
    parts = [
        np.asarray(call(pixels_of(images[n : n + BATCH]))) for n in range(0, len(images), BATCH)
    ]
    return np.concatenate(parts)


class Ways:
    """Each method calls the export in one way: float32 [N, H, W, 3] -> [N, D].

    Args:
        path: Of the export.
        folder: For temporary files.
    """

    def __init__(self, path: Path, folder: Path):
        self.path, self.folder = path, folder
        self.loaded = tf.saved_model.load(str(path))
        signature = self.loaded.signatures["serving_default"]
        self.feature = saved_model.feature_in(signature.structured_outputs)

    def saved_model_load(self, pixels):
        return self.loaded(pixels)

    def serving_bytes(self, pixels):
        encoded = tf.constant(encoded_input.png_images(pixels))
        return self.loaded.signatures["serving_bytes"](image_bytes=encoded)[self.feature]

    def hub_load(self, pixels):
        import tensorflow_hub as hub

        model = hub.load(str(self.path))
        return model(pixels)

    def hub_keras_layer_in_tf_keras(self, pixels):
        images, answer = self.folder / "images.npy", self.folder / "answer.npy"
        np.save(images, pixels)
        self._process("-c", KERAS_2, self.path, images, answer, TF_USE_LEGACY_KERAS="1")
        return np.load(answer, allow_pickle=False)

    def encoder_layer(self, pixels):
        return EncoderLayer(str(self.path))(pixels)

    def keras_tfsm_layer(self, pixels):
        layer = keras.layers.TFSMLayer(str(self.path), call_endpoint="serving_default")
        return layer(pixels)[self.feature]

    def tf_data_map(self, pixels):
        batches = tf.data.Dataset.from_tensor_slices(pixels).batch(32).map(self.loaded)
        return np.concatenate(list(batches.as_numpy_iterator()))

    def saved_model_cli(self, pixels):
        np.save(self.folder / "images.npy", pixels)
        cli = Path(sys.executable).with_name("saved_model_cli")
        self._process(
            *(cli, "run", "--dir", self.path, "--tag_set", "serve", "--overwrite"),
            *("--signature_def", "serving_default", "--outdir", self.folder),
            *("--inputs", f"images={self.folder / 'images.npy'}"),
        )
        return np.load(self.folder / f"{self.feature}.npy", allow_pickle=False)

    def c_api(self, pixels):
        return self._by_c_api("serving_default", pixels)

    def c_api_serving_bytes(self, pixels):
        return self._by_c_api("serving_bytes", encoded_input.png_images(pixels))

    def _by_c_api(self, signature, inputs):
        graph = saved_model_pb2.SavedModel.FromString((self.path / "saved_model.pb").read_bytes())
        signature = graph.meta_graphs[0].signature_def[signature]
        ((_, tensor),) = signature.inputs.items()
        file = self.folder / ("inputs.json" if isinstance(inputs, list) else "inputs.npy")
        if isinstance(inputs, list):
            file.write_text(json.dumps([base64.b64encode(image).decode() for image in inputs]))
        else:
            np.save(file, inputs)
        request = {
            "inputs": {tensor.name: str(file)},
            "outputs": {self.feature: signature.outputs[self.feature].name},
            "answer": str(self.folder / "answer.npz"),
        }
        (self.folder / "requests.json").write_text(json.dumps([request]))
        self._process(C_API, self.path, self.folder / "requests.json")
        return np.load(self.folder / "answer.npz", allow_pickle=False)[self.feature]

    def beam(self, pixels):
        import apache_beam  # noqa: F401
        import pyarrow.parquet as pq

        images = self.folder / "images"
        images.mkdir()
        for number, one in enumerate(encoded_input.png_images(pixels)):
            (images / f"{number:05d}.png").write_bytes(one)
        out = self.folder / "embedded"
        self._process(
            *("-m", "dim_tf.collection.beam", f"--encoder_path={self.path}", f"--output={out}"),
            *(f"--input={images}/*.png", "--runner=DirectRunner"),
        )
        rows = {}
        for part in self.folder.glob("embedded*.parquet"):
            table = pq.read_table(part).to_pydict()
            rows |= dict(zip(table["id"], table["embedding"], strict=True))
        assert len(rows) == len(pixels)
        return np.array([rows[one] for one in sorted(rows)], np.float32)

    def mediapipe_float32(self, pixels):
        return self._by_mediapipe("encoder_float32.tflite", pixels)

    def mediapipe_uint8(self, pixels):
        return self._by_mediapipe("encoder_uint8_batch1.tflite", pixels)

    def _by_mediapipe(self, file, pixels):
        if not (self.path / file).exists():
            raise FileNotFoundError(f"the export has no {file}")
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision

        path = str(self.path / file)
        options = vision.ImageEmbedderOptions(base_options=BaseOptions(model_asset_path=path))
        with vision.ImageEmbedder.create_from_options(options) as embedder:
            return np.array(
                [
                    embedder.embed(mediapipe.Image(mediapipe.ImageFormat.SRGB, one))
                    .embeddings[0]
                    .embedding
                    for one in (pixels * 255).round().astype(np.uint8)
                ]
            )

    @staticmethod
    def _process(*command, **environment):
        first = [] if Path(str(command[0])).name == "saved_model_cli" else [sys.executable]
        done = subprocess.run(
            [*first, *map(str, command)],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])


WAYS = {
    "`tf.saved_model.load`": Ways.saved_model_load,
    "signature `serving_bytes`, PNG": Ways.serving_bytes,
    "`hub.load`": Ways.hub_load,
    "`hub.KerasLayer` in tf_keras": Ways.hub_keras_layer_in_tf_keras,
    "`dim_tf.export.EncoderLayer`": Ways.encoder_layer,
    "`keras.layers.TFSMLayer`": Ways.keras_tfsm_layer,
    "`tf.data.Dataset.map`": Ways.tf_data_map,
    "`saved_model_cli run`": Ways.saved_model_cli,
    "C API, `serving_default`": Ways.c_api,
    "C API, `serving_bytes`, PNG": Ways.c_api_serving_bytes,
    "Apache Beam, direct runner, PNG": Ways.beam,
    "MediaPipe ImageEmbedder, `encoder_float32.tflite`": Ways.mediapipe_float32,
    "the same, `encoder_uint8_batch1.tflite`": Ways.mediapipe_uint8,
}


def print_ways(path: Path, pixels: np.ndarray, expected: np.ndarray) -> None:
    """Prints the table of ways to call the export."""
    print("| way | largest difference, as a fraction of the largest feature |")
    print("|---|---|", flush=True)
    for name, way in WAYS.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                features = np.asarray(way(Ways(path, Path(folder)), pixels))
            except ModuleNotFoundError as error:
                print(f"| {name} | not run: {error.name} is not installed |", flush=True)
                continue
            except FileNotFoundError as error:
                print(f"| {name} | not run: {error} |", flush=True)
                continue
        difference = np.abs(features - expected).max() / np.abs(expected).max()
        print(f"| {name} | {difference:.1e} |", flush=True)


def probe(features: np.ndarray, labels: np.ndarray) -> Callable:
    """Trains a logistic regression on standardised features; returns its accuracy as a function."""
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    trained = LogisticRegression(max_iter=500).fit((features - mean) / deviation, labels)
    return lambda x, y: 100 * trained.score((x - mean) / deviation, y)


def print_lite(
    path: Path, expected_of: Callable[[np.ndarray], np.ndarray], train: Split, test: Split
) -> None:
    """Prints the table of TFLite files: cosines and accuracies of linear probes."""
    expected = [in_batches(expected_of, s.images) for s in (train, test)]
    unchanged = probe(expected[0], train.labels)
    print("| file | mean cosine | smallest cosine | probe of the Keras model | probe of the file |")
    print("|---|---|---|---|---|")
    accuracy = unchanged(expected[1], test.labels)
    print(f"| Keras model | 1 | 1 | {accuracy:.2f} | {accuracy:.2f} |", flush=True)
    for variant in tflite.VARIANTS:
        if not (path / variant.file).exists():
            print(f"| `{variant.file}` | not of this export | | | |", flush=True)
            continue
        run = tflite.runner(path / variant.file, threads=os.cpu_count() or 1)
        features = [in_batches(lambda x: one_output(run(x)), s.images) for s in (train, test)]  # noqa: B023
        cosines = tflite.cosines(features[1], expected[1])
        refit_accuracy = probe(features[0], train.labels)(features[1], test.labels)
        print(
            f"| `{variant.file}` | {cosines.mean():.5f} | {cosines.min():.4f} "
            f"| {unchanged(features[1], test.labels):.2f} | {refit_accuracy:.2f} |",
            flush=True,
        )


def one_output(outputs: dict[str, np.ndarray]) -> np.ndarray:
    """The features of a TFLite file."""
    return outputs[saved_model.feature_in(outputs)]


def print_fine_tuned(path: Path, train: Split, test: Split) -> None:
    """Prints the result of one epoch of fine-tuning as a Keras layer, saved and loaded."""
    classes = int(train.labels.max()) + 1
    shape = pixels_of(train.images[:1]).shape[1:]
    accuracies = {}
    for trainable in (False, True):
        keras.utils.set_random_seed(0)
        layer = EncoderLayer(str(path), trainable=trainable)
        model = keras.Sequential([keras.Input(shape), layer, keras.layers.Dense(classes)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
        model.fit(pixels_of(train.images), train.labels, batch_size=64, verbose=0)
        pixels = pixels_of(test.images)
        accuracies[trainable] = 100 * model.evaluate(pixels, test.labels, verbose=0)[1]
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model.keras")
        loaded = keras.models.load_model(f"{folder}/model.keras", safe_mode=True)
    few = pixels[:IMAGES]
    answers = [m.predict(few, verbose=0) for m in (model, loaded)]
    print(
        f"EncoderLayer and a dense layer on it, 1 epoch, test accuracy: {accuracies[False]:.2f} % "
        f"frozen, {accuracies[True]:.2f} % fine-tuned; saved and loaded again, the fine-tuned "
        f"model's logits differ by {np.abs(answers[0] - answers[1]).max():.1e}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run_dir", type=Path, required=True)
    parser.add_argument("--saved_model", type=Path, required=True)
    parser.add_argument("--data_dir", default="")
    arguments = parser.parse_args()
    saved = Experiment.from_json((arguments.run_dir / "experiment.json").read_text())
    experiment = saved.replace(data_dir=arguments.data_dir, run_dir=str(arguments.run_dir))
    splits = data.load(experiment.data.dataset, experiment.data.request)
    model, _ = load_trained(experiment, splits)
    pixels = pixels_of(splits.test.images[:IMAGES])
    metadata = json.loads((arguments.saved_model / "assets/metadata.json").read_text("utf-8"))
    feature = Feature(metadata["feature"]["name"], experiment.evaluation.max_features)

    def expected(images):
        return saved_model.keras_features(model.encoder, images, feature)

    print_ways(arguments.saved_model, pixels, expected(pixels))
    print()
    print_lite(arguments.saved_model, expected, splits.train, splits.test)
    print()
    print_fine_tuned(arguments.saved_model, splits.train, splits.test)


if __name__ == "__main__":
    main()
