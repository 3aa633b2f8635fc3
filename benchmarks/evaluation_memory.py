r"""Peak memory of an evaluation whose features exceed --memory, on Linux.

    python benchmarks/evaluation_memory.py --memory=1 --images=100000 --tests=10000

Evaluates an untrained encoder with a conv map of 7x7x1280 on random images of --image_size pixels,
which are drawn when they are read, as those of a folder are decoded; of more than 50,000 training
images the evaluation takes 50,000. At --encoder_size=224 the encoder is Keras' MobileNetV2; at a
smaller size it is four convolutions that give the same map, so that encoding takes seconds.

Prints the peaks of the process' resident memory, read every 50 ms from /proc/self/status: anonymous
pages (arrays, TensorFlow's memory), file-backed pages (libraries, and features in files; the system
drops the latter where it needs the memory), and both together; and the seconds by measure.
"""

import argparse
import os
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from interleaved import load

from dim_tf.data.splits import Split, Splits
from dim_tf.evaluation import representation
from dim_tf.evaluation.evaluate import run_measures
from dim_tf.evaluation.saved_encoder import SavedEncoder
from dim_tf.experiment import Experiment
from dim_tf.registry import DEFAULT_MEASURES

MAP = (7, 7, 1280)
FIELDS = {"RssAnon": "anonymous", "RssFile": "file-backed", "VmRSS": "both"}
INTERVAL = 0.05  # seconds


class RandomImages:
    """Images whose pixels are drawn when they are read: of a few classes, of a brightness each."""

    def __init__(self, count: int, size: int, num_classes: int):
        self.shape = (count, size, size, 3)
        self.dtype = np.dtype(np.uint8)
        self.labels = np.arange(count) % num_classes
        self._brightness = np.linspace(0, 156, num_classes).astype(np.uint8)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, indices):
        numbers = np.arange(len(self))[indices]
        rng = np.random.default_rng(int(numbers[0]))
        noise = rng.integers(0, 100, (len(numbers), *self.shape[1:]), np.uint8)
        return noise + self._brightness[self.labels[numbers], np.newaxis, np.newaxis, np.newaxis]


class PeakMemory:
    """A context that watches this process' resident memory.

    Attributes:
        peaks: bytes, by the names of `FIELDS`.
    """

    def __init__(self):
        self.peaks = dict.fromkeys(FIELDS, 0)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._ended.set()
        self._thread.join()

    def _watch(self):
        while not self._ended.wait(INTERVAL):
            for line in Path("/proc/self/status").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in FIELDS:
                    self.peaks[name] = max(self.peaks[name], 1024 * int(value.split()[0]))


def untrained_encoder(size: int) -> SavedEncoder:
    """An encoder of random weights: its map is the endpoint conv, the map's mean is global."""
    if size == 224:
        model = keras.applications.MobileNetV2((size, size, 3), include_top=False, weights=None)
    else:
        strides = [2] * max((size // 8).bit_length() - 1, 0)  # to 8x8 and then 7x7 locations
        layers = [
            keras.layers.Conv2D(min(32 * 3**i, 320), 3, stride, "same", activation="relu")
            for i, stride in enumerate(strides)
        ]
        model = keras.Sequential(
            [keras.Input((size, size, 3)), *layers, keras.layers.Conv2D(1280, 2, activation="relu")]
        )
    if model.output_shape[1:] != MAP:
        raise SystemExit(f"--encoder_size={size} gives {model.output_shape}; take 224, or 2^n")

    def endpoints(images):
        features = model(images * 2 - 1, training=False)
        return {"conv": features, "global": keras.ops.mean(features, [1, 2])}

    return SavedEncoder((size, size, 3), endpoints, "untrained")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--memory", type=float, default=1.0, help="GiB, as of the program's flag")
    parser.add_argument("--images", type=int, default=100_000, help="training images")
    parser.add_argument("--tests", type=int, default=10_000, help="test images")
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--image_size", type=int, default=64)
    parser.add_argument("--encoder_size", type=int, default=64)
    parser.add_argument("--measures", default=",".join(DEFAULT_MEASURES))
    parser.add_argument("--pixels", action="store_true", help="with raw pixels as a reference")
    parser.add_argument(
        "--run_dir", help="folder for the features' files; default: a temporary one"
    )
    args = parser.parse_args()
    train = RandomImages(args.images, args.image_size, args.classes)
    test = RandomImages(args.tests, args.image_size, args.classes)
    splits = Splits(
        "random",
        Split(train, train.labels),
        Split(test, test.labels),
        tuple(map(str, range(args.classes))),
        "random images",
    )
    encode = partial(representation.from_saved_encoder, untrained_encoder(args.encoder_size))
    references = {"pixels": representation.from_pixels} if args.pixels else {}
    print(load(), flush=True)
    with tempfile.TemporaryDirectory() as temporary, PeakMemory() as memory:
        began = time.perf_counter()
        settings = Experiment.of(
            name="memory",
            run_dir=args.run_dir or temporary,
            measures=args.measures,
            memory=args.memory,
        )
        content = run_measures(encode, references, splits, settings).content
        seconds = time.perf_counter() - began
    print(content["protocol"]["endpoints"])
    print(content["protocol"]["data"])
    print({name: text for name, text in content["protocol"].items() if text.startswith("failed")})
    print(f"{seconds:.0f} s: {content['cost']}")
    for name, title in FIELDS.items():
        print(f"peak of {title} memory: {memory.peaks[name] / 2**30:.2f} GiB")
    print(load())


if __name__ == "__main__":
    main()
