"""On which devices a run trains."""

import tensorflow as tf

from dim_tf.errors import InputError


def make_logical_cpus(count: int) -> None:
    """Splits the CPU into logical devices; possible only before TensorFlow has used it.

    Raises:
        InputError: TensorFlow has used the CPU as another number of devices.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    configurations = [tf.config.LogicalDeviceConfiguration()] * count
    try:
        tf.config.set_logical_device_configuration(cpu, configurations)
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) != count:
            raise InputError(
                f"--replicas={count}: TensorFlow already uses the CPU as another number of devices"
            ) from error


def get(name: str, replicas: int) -> tf.distribute.Strategy:
    """The strategy of that name.

    Args:
        name: "one", "mirrored" (all visible GPUs, or the logical CPUs), or "auto": mirrored where
            there are several of either.
        replicas: logical CPU devices to train on; 0: none.

    Raises:
        InputError: "mirrored" without a GPU and without `replicas`.
    """
    if replicas:
        make_logical_cpus(replicas)
        return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" and not gpus:
        raise InputError("--strategy=mirrored found no GPU; give --replicas=N for logical CPUs")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        return tf.distribute.MirroredStrategy([gpu.name for gpu in gpus])
    return tf.distribute.get_strategy()


def jit_compile(setting: str, replicas: int) -> bool:
    """Whether XLA compiles the step; "auto": on GPUs. It cannot on logical CPU replicas."""
    if setting == "auto":
        return not replicas and bool(tf.config.list_logical_devices("GPU"))
    return setting == "true"
