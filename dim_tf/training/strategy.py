"""On which devices a run trains."""

import contextlib
import faulthandler
import os
import subprocess
import sys
from collections.abc import Iterator

import tensorflow as tf

from dim_tf.errors import InputError, RunError
from dim_tf.training import workers
from dim_tf.writing import reason

_CLUSTER_HINTS = {
    "tf_config": workers.TF_CONFIG_HINT,
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
    name: str, replicas: int, cluster: str = "tf_config", timeout: float = workers.TIMEOUT
) -> tf.distribute.Strategy:
    """The strategy of that name.

    Args:
        name: "one", "mirrored" (all visible GPUs, or the logical CPUs), "multi_worker" (with the
            devices of other processes; must be made before TensorFlow does anything else), or
            "auto": mirrored where there are several GPUs or logical CPUs.
        replicas: logical CPU devices to train on; 0: none.
        cluster: who knows the other processes: "tf_config", "slurm" or "kubernetes".
        timeout: seconds to wait for them, at the start and in each exchange.

    Raises:
        InputError: "mirrored" without a GPU and without `replicas`; "multi_worker" where `cluster`
            names no processes, or this process' port is used by another program.
        RunError: another process does not come in time.
    """
    if name == "multi_worker":
        return _multi_worker(cluster, timeout)
    if replicas:
        make_logical_cpus(replicas)
        return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" and not gpus:
        raise InputError("--strategy=mirrored found no GPU; give --replicas=N for logical CPUs")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        return tf.distribute.MirroredStrategy([gpu.name for gpu in gpus])
    return tf.distribute.get_strategy()


def _multi_worker(cluster, timeout):
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=timeout)
    try:
        resolver = _RESOLVERS[cluster]()
        jobs = resolver.cluster_spec().as_dict()
        everyone = workers.of_jobs(jobs, resolver.task_type, resolver.task_id)
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError, ImportError) as error:
        raise InputError(
            f"--cluster={cluster} tells of no cluster ({error}); {_CLUSTER_HINTS[cluster]}"
        ) from error
    workers.wait(everyone, timeout)
    with _bounded(everyone, timeout):
        try:
            return tf.distribute.MultiWorkerMirroredStrategy(resolver, options)
        except (ValueError, RuntimeError, tf.errors.OpError) as error:
            raise RunError(f"{everyone.own} cannot join the others ({reason(error)})") from error


@contextlib.contextmanager
def _bounded(everyone: workers.Workers, timeout: float) -> Iterator[None]:
    """Ends the process after `timeout` seconds inside a call of TensorFlow's.

    The call waits for processes that were there just now and may have ended since. It lets no
    Python run meanwhile and takes SIGTERM for itself, so another process says why this one ends,
    and faulthandler's timer, which is none of Python's threads, ends it. Nothing is being written.
    """
    named = ", ".join(map(str, everyone.others))
    message = (
        f"error: in {timeout:g} s TensorFlow has not connected {everyone.own.task} with {named}; "
        "start all of them again"
    )
    teller = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _TELL_LATER, str(timeout), message],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    with teller, open(os.devnull, "w") as null:  # leaving it closes its input and waits for it
        faulthandler.dump_traceback_later(timeout + 1, exit=True, file=null)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


# Says the second argument after as many seconds as the first, unless its input ends before.
_TELL_LATER = """
import select, sys
if not select.select([sys.stdin], [], [], float(sys.argv[1]))[0]:
    print(sys.argv[2], file=sys.stderr)
"""


def _slurm():
    gpus = len(tf.config.list_physical_devices("GPU"))
    # Else it asks nvidia-smi, which a machine without GPUs does not have.
    return tf.distribute.cluster_resolver.SlurmClusterResolver(
        gpus_per_node=gpus, gpus_per_task=gpus, tasks_per_node=1, auto_set_gpu=False
    )


def _kubernetes():
    resolver = tf.distribute.cluster_resolver.KubernetesClusterResolver(
        {"worker": ["job-name=worker"]}
    )
    # It does not tell which of the pods this is; an indexed Job does, in the order of its pods.
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
    """Whether this process is the one that writes: the chief, or the first worker without one."""
    if not is_multi_worker(devices):
        return True
    resolver = devices.cluster_resolver
    with_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not with_chief and resolver.task_id == 0)


def mean_of_processes(devices: tf.distribute.Strategy, value: float) -> float:
    """The mean over all replicas of a number; no process goes on before all have come here."""
    if not is_multi_worker(devices):
        return value

    def of_replicas():
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.constant([value], tf.float64))

    found = tf.function(lambda: devices.run(of_replicas))()
    return float(devices.experimental_local_results(found)[0][0])


def jit_compile(setting: str, replicas: int) -> bool:
    """Whether XLA compiles the step; "auto": on GPUs. It cannot on logical CPU replicas."""
    if setting == "auto":
        return not replicas and bool(tf.config.list_logical_devices("GPU"))
    return setting == "true"
