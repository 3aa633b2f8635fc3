"""The devices on which a run trains: tf.distribute's strategies."""

import contextlib
import faulthandler
import functools
import os
import subprocess
import sys
from collections.abc import Iterator

import tensorflow as tf

from dim_tf.system.errors import InputError, RunError
from dim_tf.system.io_errors import reason
from dim_tf.training import cluster

_CLUSTER_HINTS = {
    "tf_config": cluster.TF_CONFIG_HINT,
    "slurm": "start the processes by srun",
    "kubernetes": "install the package kubernetes, and start the processes as an indexed Job whose "
    "pods have the label job-name=worker",
}


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


def get(
    name: str, replicas: int, resolver: str = "tf_config", timeout: float = cluster.TIMEOUT
) -> tf.distribute.Strategy:
    """The strategy of that name.

    Args:
        name: "one", "mirrored" (all visible GPUs, or the logical CPUs), "multi_worker" (with the
            devices of other processes; must be created before TensorFlow does anything else), or
            "auto": mirrored if there are several GPUs or logical CPUs.
        replicas: Number of logical CPU devices to train on; 0: none.
        resolver: Which cluster resolver lists the processes: "tf_config", "slurm", "kubernetes".
        timeout: Seconds to wait for them, at the start and in each exchange.

    Raises:
        InputError: "mirrored" without a GPU and without `replicas`; "multi_worker" if `resolver`
            lists no processes, or if this process' port is used by another program.
        RunError: Another process does not answer in time.
    """
    if name == "multi_worker":
        return _multi_worker(resolver, timeout)
    if replicas:
        make_logical_cpus(replicas)
        return _mirrored(tuple(f"CPU:{i}" for i in range(replicas)))
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" and not gpus:
        raise InputError("--strategy=mirrored found no GPU; give --replicas=N for logical CPUs")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        return _mirrored(tuple(gpu.name for gpu in gpus))
    return tf.distribute.get_strategy()


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.MirroredStrategy:
    """One strategy for all runs of the process.

    Each strategy numbers its collectives from the same start, and TensorFlow remembers those of an
    earlier strategy, with other shapes, by their numbers.
    """
    return tf.distribute.MirroredStrategy(list(devices))


def _multi_worker(name, timeout):
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=timeout)
    try:
        resolver = _RESOLVERS[name]()
        jobs = resolver.cluster_spec().as_dict()
        processes = cluster.from_jobs(jobs, resolver.task_type, resolver.task_id)
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError, ImportError) as error:
        raise InputError(
            f"--cluster={name} describes no cluster ({error}); {_CLUSTER_HINTS[name]}"
        ) from error
    cluster.wait_for_peers(processes, timeout)
    with _exit_after(timeout, processes):
        try:
            return tf.distribute.MultiWorkerMirroredStrategy(resolver, options)
        except (ValueError, RuntimeError, tf.errors.OpError) as error:
            raise RunError(f"{processes.local} cannot join the others ({reason(error)})") from error


@contextlib.contextmanager
def _exit_after(timeout: float, processes: cluster.Cluster) -> Iterator[None]:
    """Ends the process after `timeout` seconds inside a call to TensorFlow, with a message.

    The call waits for processes that answered just now but may have ended since. Meanwhile it lets
    no Python code run and takes SIGTERM for itself. So a child process prints the message, and
    faulthandler's timer, which is not a Python thread, ends this process. Nothing is being written.
    """
    peers = ", ".join(map(str, processes.peers))
    message = (
        f"error: in {timeout:g} s TensorFlow has not connected {processes.local.task} with "
        f"{peers}; start all of them again"
    )
    printer = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _PRINT_LATER, str(timeout), message],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    with printer, open(os.devnull, "w") as null:  # on exit its input is closed, and it ends
        faulthandler.dump_traceback_later(timeout + 1, exit=True, file=null)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


# Prints the second argument after as many seconds as the first, unless its input ends before.
_PRINT_LATER = """
import select, sys
if not select.select([sys.stdin], [], [], float(sys.argv[1]))[0]:
    print(sys.argv[2], file=sys.stderr)
"""


def _slurm():
    gpus = len(tf.config.list_physical_devices("GPU"))
    # Without these numbers it asks nvidia-smi, which a machine without GPUs does not have.
    return tf.distribute.cluster_resolver.SlurmClusterResolver(
        gpus_per_node=gpus, gpus_per_task=gpus, tasks_per_node=1, auto_set_gpu=False
    )


def _kubernetes():
    resolver = tf.distribute.cluster_resolver.KubernetesClusterResolver(
        {"worker": ["job-name=worker"]}
    )
    # It does not know which of the pods this is; an indexed Job does, in the order of its pods.
    resolver.task_type, resolver.task_id = "worker", int(os.environ["JOB_COMPLETION_INDEX"])
    return resolver


_RESOLVERS = {
    "tf_config": tf.distribute.cluster_resolver.TFConfigClusterResolver,
    "slurm": _slurm,
    "kubernetes": _kubernetes,
}


def is_multi_worker(devices: tf.distribute.Strategy) -> bool:
    """Whether other processes take part."""
    return isinstance(devices, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief(devices: tf.distribute.Strategy) -> bool:
    """Whether this process writes the files: the chief, or without one the first worker."""
    if not is_multi_worker(devices):
        return True
    resolver = devices.cluster_resolver
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)


def mean_over_replicas(devices: tf.distribute.Strategy, value: float) -> float:
    """The mean of a number over all replicas; also a barrier for the processes."""
    if not is_multi_worker(devices):
        return value

    def mean():
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.constant([value], tf.float64))

    means = tf.function(lambda: devices.run(mean))()
    return float(devices.experimental_local_results(means)[0][0])


def jit_compile(setting: str, replicas: int) -> bool:
    """Whether XLA compiles the step; "auto": on GPUs. It cannot for logical CPU replicas."""
    if setting == "auto":
        return not replicas and bool(tf.config.list_logical_devices("GPU"))
    return setting == "true"
