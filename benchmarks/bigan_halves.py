r"""Trains BiGAN or ALI for some steps and measures whether its halves belong together.

    python benchmarks/bigan_halves.py --train_steps=1500 --dataset=cifar10 \
        --data_dir=$TFDS_DATA_DIR --model=bigan --encoder=basic32x32 --bigan.prior=gaussian

All arguments but --train_steps, --measure_every, --images, --small and --run are flags of
dim_tf.main. Nothing is written. --run=FOLDER alone measures the newest checkpoint of a run. --small
trains small networks on scikit-learn's digits at 8x8 pixels, with 16 numbers of a code: minutes on
a core, with the same settings of --model. Each row of the table is of test images x and of samples
z of the prior, with moving statistics:

- E(G(z)): correlation with z over all numbers. 1: the encoder inverts the generator.
- G(E(x)): correlation with x over all pixels, both less the mean training image.
- ratio: mean squared distance of G(E(x)) from x, over that from another image. 1: codes tell
  nothing.
- accuracy: of the discriminator, on (x, E(x)) and (G(z), z).
- pairing x, pairing z: by how much the discriminator's mean logit of (x, E(x)) falls, and that of
  (G(z), z) rises, where images exchange their codes. 0: it ignores which code an image has.
- std, dimensions: of E(x), the standard deviation, and the exponential of the entropy of the
  covariance's eigenvalues. A normal prior of D numbers has 1 and nearly D.

ALI's codes are here their means.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from absl import flags as absl_flags
from sklearn.datasets import load_digits

from dim_tf import data, main
from dim_tf.cli import flags as settings_flags
from dim_tf.data import pipeline
from dim_tf.data.splits import Split, Splits
from dim_tf.experiment import Experiment
from dim_tf.training.model import load_trained, make_model
from keras_models import priors
from keras_models.encoders import ConvNet
from keras_models.generative.ali import ALI
from keras_models.generative.bigan import BiGAN
from keras_models.nn.decoders import Decoder
from keras_models.nn.discriminators import PairDiscriminator

COLUMNS = ("E(G(z))", "G(E(x))", "ratio", "accuracy", "pairing x", "pairing z", "std", "dimensions")


def experiment_of(arguments: list[str]) -> Experiment:
    """The experiment that flags of dim_tf.main describe."""
    values = absl_flags.FlagValues()
    absl_flags.DEFINE_multi_string("flagfile", [], "", flag_values=values)
    settings_flags.define(values)
    words = ["bigan_halves", *arguments]
    main.parse_flags(words, values)
    return settings_flags.experiment(values, words)


def experiment_of_run(folder: str) -> Experiment:
    """That of a run folder."""
    text = (Path(folder) / "experiment.json").read_text(encoding="utf-8")
    return Experiment.from_json(text).replace(run_dir=folder)


def small_model(experiment: Experiment):
    """The experiment's model, compiled, with small networks for 8x8 pixels and one channel.

    Encoder, generator and image path of the discriminator have the presets' layers, with an eighth
    to a half of their filters.
    """
    keras.utils.set_random_seed(experiment.training.seed)
    settings, seed = experiment.model, experiment.training.seed
    dim = 16
    encoder = ConvNet((8, 8, 1), ((32, 4, 2, 1), (64, 4, 2, 1)), (256,), 0, dim)
    generator = Decoder((8, 8, 1), dim, (128, 64, 32))
    pairs = PairDiscriminator((32, 64), settings.code_units, settings.joint_units)
    parts = (encoder, generator, pairs)
    weights = {"penalty": settings.prior_penalty, "reconstruction": settings.reconstruction}
    if settings.NAME == "ali":
        model = ALI(*parts, seed=seed, **weights)
    else:
        model = BiGAN(*parts, priors.get(settings.prior, dim), seed=seed, **weights)
    model.compile(experiment.training.learning_rate)
    model.build()
    return model


def small_digits() -> Splits:
    """scikit-learn's digits as they are: 8x8 pixels; the last 497 are the test images."""
    images = load_digits().images[..., np.newaxis]
    images = np.round(images / 16 * 255).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(images))
    train, test = (Split(images[part], None) for part in (order[:1300], order[1300:]))
    return Splits("digits at 8x8 pixels", train, test, (), "")


def correlation(a, b) -> float:
    """Of all numbers of two arrays of one shape."""
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


def used_dimensions(codes: np.ndarray) -> float:
    """Exponential of the entropy of the eigenvalues' fractions, of the covariance of [N, D]."""
    eigenvalues = np.linalg.eigvalsh(np.cov(codes.T)).clip(1e-12)
    fractions = eigenvalues / eigenvalues.sum()
    return float(np.exp(-np.sum(fractions * np.log(fractions))))


def measures(model, images: np.ndarray, mean_image: np.ndarray) -> dict[str, float]:
    """The columns of the table.

    Args:
        model: `BiGAN` or `ALI`.
        images: x, float32 [N, H, W, C] in [-1, 1].
        mean_image: [H, W, C], the mean training image.
    """

    def encode(x):
        features = tf.cast(model.encoder(x, training=False)["global"], tf.float32)
        return model.prior.to_support(features).numpy()

    noise = np.random.default_rng(0).uniform(size=(len(images), model.prior.dim))
    samples = model.prior.sample(tf.constant(noise, tf.float32)).numpy()
    generated = model.generator(samples, training=False).numpy()
    codes = encode(images)
    again = model.generator(codes, training=False).numpy()

    def logits(x, z):
        return model.discriminator((x, z)).numpy()

    encoded, sampled = logits(images, codes), logits(generated, samples)
    errors = [np.mean((again - x) ** 2) for x in (images, np.roll(images, 1, axis=0))]
    values = (
        correlation(encode(generated), samples),
        correlation(again - mean_image, images - mean_image),
        errors[0] / errors[1],
        (np.mean(encoded > 0) + np.mean(sampled < 0)) / 2,
        np.mean(encoded - logits(images, np.roll(codes, 1, axis=0))),
        np.mean(logits(generated, np.roll(samples, 1, axis=0)) - sampled),
        np.std(codes),
        used_dimensions(codes),
    )
    return dict(zip(COLUMNS, map(float, values), strict=True))


def row(step: int, values: dict[str, float], seconds: float) -> str:
    """A row of the Markdown table."""
    cells = [f"{values[name]:.3f}" for name in COLUMNS]
    return f"| {step} | {' | '.join(cells)} | {seconds:.0f} |"


def run() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--train_steps", type=int, default=1500)
    parser.add_argument("--measure_every", type=int, default=500)
    parser.add_argument("--images", type=int, default=512, help="Test images and samples.")
    parser.add_argument("--small", action="store_true", help="Small networks on small digits.")
    parser.add_argument("--run", help="A run folder, whose model is measured.")
    arguments, flags = parser.parse_known_args()
    if arguments.run and flags:
        sys.exit(f"error: --run has its own settings; leave {' '.join(flags)} out")
    experiment = experiment_of_run(arguments.run) if arguments.run else experiment_of(flags)
    if experiment.model.NAME not in ("bigan", "ali"):
        sys.exit("error: give --model=bigan or --model=ali, with other flags of dim_tf.main")
    done = 0
    if arguments.small:
        splits = small_digits()
        model = small_model(experiment)
    else:
        splits = data.load(experiment.data.dataset, experiment.data.request)
        if arguments.run:
            model, done = load_trained(experiment, splits)
        else:
            model = make_model(experiment, splits)

    def scaled(images):
        images = np.float32(images) / 127.5 - 1
        return np.broadcast_to(images, (*images.shape[:3], model.image_shape[2]))

    images = scaled(splits.test.images[: arguments.images])
    mean_image = scaled(splits.train.images[:5000]).mean(axis=0)
    print(f"| step | {' | '.join(COLUMNS)} | s |\n|{'---|' * (len(COLUMNS) + 2)}", flush=True)
    if done:
        print(row(done, measures(model, images, mean_image), 0.0))
        return
    batches = pipeline.training_batches(
        splits.train,
        experiment.training.batch_size,
        model.image_shape[2],
        experiment.training.seed,
        0,
        experiment.pipeline_augmentation,
    )
    step = tf.function(model.train_step, jit_compile=model.jit_compile)
    begin = time.perf_counter()
    for number, batch in enumerate(batches.take(arguments.train_steps), 1):
        step(batch)
        if number % arguments.measure_every == 0 or number == arguments.train_steps:
            seconds = time.perf_counter() - begin
            print(row(number, measures(model, images, mean_image), seconds), flush=True)


if __name__ == "__main__":
    run()
