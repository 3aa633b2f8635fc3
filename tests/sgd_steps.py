"""The program of test_scaling.py: takes SGD steps on some devices and saves the weights.

    python tests/sgd_steps.py OUT.npz --replicas=R --steps=S [--checkpoints=FOLDER]

--replicas=0: one of several workers, as in TF_CONFIG. With --checkpoints it resumes from the newest
checkpoint there, and saves one.
"""

import argparse
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, os.getcwd())

import keras
import numpy as np
import tensorflow as tf

from dim_tf.training import strategy
from dim_tf.training.checkpoints import Checkpoints
from keras_models import DeepInfoMax, terms
from keras_models.encoders import ConvNet
from keras_models.views import Views

BATCH = 16
SIDE = 8


def make_model(synchronized: bool, **compile_arguments) -> DeepInfoMax:
    """With prior, occlusion, sampled locations and all other images as negatives.

    The losses of both estimators use the pairs of all replicas.
    """
    keras.utils.set_random_seed(1)
    encoder = ConvNet(
        (SIDE, SIDE, 1), ((4, 4, 2, 1), (8, 4, 2, 1)), (16,), 0, 5, synchronized=synchronized
    )
    objective = [
        terms.local_mutual_information(
            "dot",
            "infonce",
            units=8,
            locations=7,
            chunk=3 * synchronized,  # scores by chunks on replicas, all at once on one device
            synchronized=synchronized,
        ),
        terms.global_mutual_information(
            "dot", "dv", units=8, chunk=3 * synchronized, synchronized=synchronized
        ),
        terms.prior_matching("uniform", 5, weight=0.3),
    ]
    model = DeepInfoMax(encoder, objective, Views(occluded=True))
    # Adam would hide a gradient that is off by a factor.
    model.compile(
        optimizer=keras.optimizers.SGD(0.05),
        adversary_optimizer=keras.optimizers.SGD(0.05),
        **compile_arguments,
    )
    model.build()
    return model


def batches(first: int) -> tf.data.Dataset:
    """Batches of random images, from one on."""
    images = np.random.default_rng(0).uniform(-1, 1, (4 * BATCH, SIDE, SIDE, 1)).astype("f4")
    data = tf.data.Dataset.from_tensor_slices(images[first * BATCH :]).batch(BATCH, True)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return data.with_options(options)


def weights_after(devices, steps, folder):
    """The weights by path, after `steps` steps from the newest checkpoint in `folder` on."""
    with devices.scope():
        model = make_model(synchronized=devices.num_replicas_in_sync > 1)
        checkpoints = None
        if folder:
            checkpoints = Checkpoints(model, folder, 1, strategy.is_chief(devices))
        begin = checkpoints.restore() if checkpoints else 0
    step = tf.function(lambda batch: devices.run(model.train_step, [batch]))
    data = iter(devices.experimental_distribute_dataset(batches(begin)))
    for _ in range(steps):
        step(next(data))
    if checkpoints:
        checkpoints.save(begin + steps)
    return {v.path: np.array(v) for v in model.variables}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--replicas", type=int, required=True)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--checkpoints")
    arguments = parser.parse_args()
    name = "mirrored" if arguments.replicas > 1 else "one"
    devices = strategy.get(
        name if arguments.replicas else "multi_worker",
        arguments.replicas if arguments.replicas > 1 else 0,
    )
    np.savez(arguments.out, **weights_after(devices, arguments.steps, arguments.checkpoints))


if __name__ == "__main__":
    main()
