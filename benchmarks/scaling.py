r"""The cost of a training step on many devices: a model, and the bytes really exchanged.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --devices 1,8,64,512 --batch 64 --units 2048 --estimator infonce

Prints two tables, for the encoder basic32x32 and the dot-product critic with all negatives.

First, the bytes that every device gives to all-reduces in a step, on 2, 4 and 8 replicas (logical
CPU devices, each number in a separate process): by the formulas of `exchanged_bytes`, and by
tracing the real `train_step`. If they differ, the command fails.

Second, by the same formulas, the arithmetic, the exchange, the memory of the scores and the time of
a step on --devices. Times are computed, not measured: the sum of operations over --flops, bytes of
a ring over --bandwidth, and --latency for each all-reduce.
"""

import argparse
import json
import math
import subprocess
import sys
import threading
from typing import NamedTuple

import step_flops

ESTIMATORS = ("jsd", "infonce", "dv")
TRACED = (2, 4, 8)
TRACED_BATCH, TRACED_UNITS = 4, 32
LATENT = 64
FLOAT = 4
ENCODER_PARAMETERS = 4_921_280
ALL_REDUCES = 12  # in a step, without those of batch norm


class StepSettings(NamedTuple):
    """Settings of a step.

    Attributes:
        estimator: A name of `estimators.NAMES`.
        batch: N, images per device.
        units: U.
    """

    estimator: str
    batch: int
    units: int


def exchanged_bytes(settings: StepSettings, devices: int, parameters: int) -> dict[str, int]:
    """Bytes that one device gives to all-reduces in a step, by purpose; without batch norm's.

    N images per device and one global per image, R devices, L locations, U units, P parameters:

    - gradients: P.
    - globals: their codes are gathered by an all-reduce of R·N·(U + 1) floats, of which all but the
      device's own are 0; so are their gradients.
    - states of the estimator: infonce needs one for each image from each device, R·(R·N) of two
      floats; the others need one for each device: R·2 floats, for dv R·(1 + L). Their gradients
      (except those of the counts, which have none) are exchanged too.
    """
    locations, _ = step_flops.local_map("basic32x32")
    images = devices * settings.batch
    globals_ = images * (settings.units + 1)
    counts, totals = devices, devices
    if settings.estimator == "infonce":
        counts = totals = devices * images
    elif settings.estimator == "dv":
        totals = devices * locations
    return {
        "gradients": FLOAT * parameters,
        "globals": FLOAT * 2 * globals_,
        "states": FLOAT * (counts + 2 * totals),
    }


def traced_bytes(settings: StepSettings, devices: int) -> dict[str, int]:
    """Bytes of the all-reduces of the real step; call it in a separate process."""
    from dim_tf.training import strategy

    replicas = strategy.get("mirrored", devices)  # before anything uses the CPU

    import tensorflow as tf
    from tensorflow.python.distribute import distribute_lib

    from keras_models import DeepInfoMax, encoders, terms

    reduced: dict[str, list] = {}  # by thread
    all_reduce = distribute_lib.ReplicaContextBase.all_reduce

    def recording(self, reduce_op, value, options=None):
        reduced.setdefault(threading.current_thread().name, []).append(value)
        return all_reduce(self, reduce_op, value, options)

    distribute_lib.ReplicaContextBase.all_reduce = recording
    with replicas.scope():
        model = DeepInfoMax(
            encoders.get("basic32x32", latent_dim=LATENT),
            [terms.local_mutual_information("dot", settings.estimator, units=settings.units)],
        )
        model.compile()
        model.build()
    images = tf.zeros([settings.batch, 32, 32, 3])
    values = replicas.experimental_distribute_values_from_function(lambda context: images)
    tf.function(lambda x: replicas.run(model.train_step, [x])).get_concrete_function(values)

    of_one_replica = next(iter(reduced.values()))  # each replica is traced in its own thread
    traced = {"gradients": 0, "globals and states": 0, "metrics": 0}
    for value in of_one_replica:
        for tensor in tf.nest.flatten(value):
            if isinstance(value, list):
                purpose = "gradients"
            else:
                purpose = "globals and states" if tensor.shape.rank else "metrics"
            traced[purpose] += FLOAT * tensor.shape.num_elements()
    traced["parameters"] = sum(math.prod(v.shape) for v in model.trainable_variables)
    return traced


def check(estimator: str) -> None:
    """Prints the bytes of formulas and traces; exits if they differ."""
    print(f"\n{estimator}:\n\n| devices | purpose | formula, bytes | traced, bytes |")
    print("|---|---|---|---|")
    for devices in TRACED:
        command = [sys.executable, __file__, f"--trace={devices}", f"--estimator={estimator}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr[-2000:])
        traced = json.loads(done.stdout.splitlines()[-1])
        settings = StepSettings(estimator, TRACED_BATCH, TRACED_UNITS)
        formula = exchanged_bytes(settings, devices, traced["parameters"])
        pairs = {
            "gradients": formula["gradients"],
            "globals and states": formula["globals"] + formula["states"],
        }
        for purpose, expected in pairs.items():
            print(f"| {devices} | {purpose} | {expected:,} | {traced[purpose]:,} |")
            if expected != traced[purpose]:
                sys.exit(f"the formula of {purpose} is wrong")


def model_table(settings: StepSettings, device_counts: list[int], speed: "Speed") -> list[str]:
    """Rows of Markdown: the cost of a step on each number of devices."""
    locations, channels = step_flops.local_map("basic32x32")
    rows = [
        "| devices | images a step | GFLOP a device | globals, MB | states, MB | gradients, MB | "
        "scores, MB | computing, ms | exchange, ms | efficiency |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    encoder = sum(p.step for p in step_flops.encoder_products("basic32x32"))
    parameters = ENCODER_PARAMETERS + critic_parameters(channels, settings.units)
    single = None
    for devices in device_counts:
        images = devices * settings.batch
        critic = step_flops.dot_critic_products(images, locations, channels, LATENT, settings.units)
        flops = 2 * settings.batch * (encoder + sum(p.step for p in critic))
        exchanged = exchanged_bytes(settings, devices, parameters) if devices > 1 else {}
        ring = 2 * (devices - 1) / devices
        computing = flops / speed.flops
        exchange = ring * sum(exchanged.values()) / speed.bandwidth
        exchange += ALL_REDUCES * speed.latency * (devices > 1)
        single = single or computing
        scores = FLOAT * images * settings.batch * locations
        megabytes = [exchanged.get(x, 0) / 1e6 for x in ("globals", "states", "gradients")]
        cells = [
            f"{devices}",
            f"{images:,}",
            f"{flops / 1e9:.1f}",
            *(f"{x:.2f}" for x in megabytes),
            f"{scores / 1e6:,.0f}",
            f"{1e3 * computing:.2f}",
            f"{1e3 * exchange:.2f}",
            f"{single / (computing + exchange):.0%}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def critic_parameters(channels: int, units: int) -> int:
    """Parameters of both projections of the dot-product critic."""
    return sum(2 * c * units + units * units + 5 * units for c in (channels, LATENT))


class Speed(NamedTuple):
    """Operations a second of a device, bytes a second of the network, seconds per all-reduce."""

    flops: float
    bandwidth: float
    latency: float


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", default="1,8,64,512")
    parser.add_argument("--estimator", default="infonce", choices=ESTIMATORS)
    parser.add_argument("--batch", type=int, default=64, help="images per device")
    parser.add_argument("--units", type=int, default=2048)
    parser.add_argument("--flops", type=float, default=100e12, help="operations per second")
    parser.add_argument("--bandwidth", type=float, default=100e9, help="bytes per second")
    parser.add_argument("--latency", type=float, default=50e-6, help="seconds per all-reduce")
    parser.add_argument("--trace", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.trace:
        settings = StepSettings(arguments.estimator, TRACED_BATCH, TRACED_UNITS)
        print(json.dumps(traced_bytes(settings, arguments.trace)))
        return
    for estimator in ESTIMATORS:
        check(estimator)
    print()
    settings = StepSettings(arguments.estimator, arguments.batch, arguments.units)
    speed = Speed(arguments.flops, arguments.bandwidth, arguments.latency)
    counts = [int(count) for count in arguments.devices.split(",")]
    print("\n".join(model_table(settings, counts, speed)))


if __name__ == "__main__":
    main()
