"""Trains probes by the authors' recipe: all seeds together in one compiled loop.

The plain twin is `classifier_training`, which uses Keras' `fit` and spends most of its time between
the small operations of a step. A test compares the two; benchmarks/probes.py times them.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from dim_tf.evaluation.standardisation import moments
from keras_models.distribute.randomness import derive_seed
from keras_models.nn.layers import BATCH_NORM_MOMENTUM, NORM_EPSILON

MLP_UNITS = 200
DROPOUT = 0.1
BETAS = (0.5, 0.999)
EPSILON = 1e-8
TEST_BATCH_SIZE = 1024
BUFFER_BYTES = 2**24  # of the features, and of an MLP's dropout, for several steps
ALIGNMENT = 64  # bytes, required of memory that TensorFlow shares
MAX_XLA_FEATURES = 1024  # XLA halves the time of an MLP on 64, but is slower on 4,096


@dataclass(frozen=True)
class ProbeTraining:
    """How a probe is trained; by default as by the authors (Hjelm et al. 2019, section 4.1).

    It uses Adam with betas (0.5, 0.999) and cross-entropy; kernels and biases start uniform in
    ±1/√fan_in.

    Attributes:
        epochs: Epochs of training.
        learning_rate: Learning rate of the first step.
        batch_size: Images per step; the last step of an epoch takes the rest.
        cosine: Whether the learning rate falls to 0 along half a cosine. If not, it is multiplied
            by 0.1 after two thirds of the epochs.
        dropout: Fraction of an MLP's hidden units that are 0 in a step.
    """

    epochs: int
    learning_rate: float
    batch_size: int = 64
    cosine: bool = False
    dropout: float = DROPOUT

    def rates(self, epoch: int, steps: int) -> np.ndarray:
        """The learning rates of an epoch (counted from 0) with `steps` steps: float32 [steps]."""
        if self.cosine:
            done = (epoch * steps + np.arange(steps)) / (self.epochs * steps)
            return (self.learning_rate * (1 + np.cos(np.pi * done)) / 2).astype(np.float32)
        is_dropped = epoch >= max(self.epochs * 2 // 3, 1)
        return np.full(steps, self.learning_rate * (0.1 if is_dropped else 1.0), np.float32)


def initial_weights(hidden: bool, size: int, outputs: int, seed: int) -> dict[str, np.ndarray]:
    """The weights from which training starts: float32, by name.

    Args:
        hidden: Whether it is an MLP.
        size: Number of numbers in a feature.
        outputs: Number of classes, or of attributes.
        seed: Seed of the weights.
    """
    rng = np.random.default_rng(derive_seed(seed, "weights of a probe"))

    def dense(name, fan_in, units):
        limit = fan_in**-0.5
        return {
            f"{name}_kernel": rng.uniform(-limit, limit, (fan_in, units)).astype(np.float32),
            f"{name}_bias": rng.uniform(-limit, limit, (1, units)).astype(np.float32),
        }

    if not hidden:
        return dense("output", size, outputs)
    return {
        **dense("hidden", size, MLP_UNITS),
        "norm_scale": np.ones((1, MLP_UNITS), np.float32),
        "norm_offset": np.zeros((1, MLP_UNITS), np.float32),
        **dense("output", MLP_UNITS, outputs),
    }


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of `count` images in an epoch: int [count]."""
    rng = np.random.default_rng((derive_seed(seed, "order of a probe's images"), epoch))
    return rng.permutation(count)


def train(
    features: np.ndarray,
    labels: np.ndarray,
    test_features: np.ndarray,
    outputs: int,
    hidden: bool,
    training: ProbeTraining,
    indices: Sequence[np.ndarray],
) -> np.ndarray:
    """Trains probes that differ in their seeds 0, 1, …

    Args:
        features: float32 [N, F]; may be memory-mapped, because they are not copied.
        labels: int [N], classes; or int [N, A], attributes 0 or 1.
        test_features: float32 [M, F].
        outputs: Number of classes, or A.
        hidden: Whether there is a hidden layer of 200 units (batch norm, ReLU, dropout). If not,
            the classifier is linear, on features standardised by those of the images that are
            trained on.
        training: Optimizer settings and steps.
        indices: For each seed the images of an epoch, int [K], the same number for all.

    Returns:
        The logits of the test features by each probe: float32 [seeds, M, outputs].
    """
    probes = _Probes(features, labels, outputs, hidden, training, indices)
    for epoch in range(training.epochs):
        orders = [
            of_seed[epoch_order(len(of_seed), seed, epoch)] for seed, of_seed in enumerate(indices)
        ]
        probes.train_epoch(np.stack(orders), epoch)
    return probes.logits(test_features)


class _Probes:
    """The probes of all seeds, their weights stacked: [seeds, ...].

    The features of several steps are copied into a buffer, which the compiled loop reads in place.
    """

    def __init__(self, features, labels, outputs, hidden, training, indices):
        size, seeds = features.shape[1], len(indices)
        self._features, self._has_hidden, self._training = features, hidden, training
        self._labels = labels.astype(np.float32 if labels.ndim == 2 else np.int32)
        initial = [initial_weights(hidden, size, outputs, seed) for seed in range(seeds)]
        self._weights = {
            name: tf.Variable(np.stack([weights[name] for weights in initial]))
            for name in initial[0]
        }
        self._adam = {
            name: (tf.Variable(tf.zeros_like(weight)), tf.Variable(tf.zeros_like(weight)))
            for name, weight in self._weights.items()
        }
        self._steps_taken = 0
        if hidden:  # the moving ones of the batch norm
            zeros = np.zeros((seeds, 1, MLP_UNITS), np.float32)
            self._statistics: tuple = (tf.Variable(zeros), tf.Variable(zeros + 1))
        else:
            self._statistics = tuple(map(tf.constant, _seeds_moments(features, indices)))
        self._dropout = [
            np.random.default_rng(derive_seed(seed, "dropout of a probe")) for seed in range(seeds)
        ]
        batch = training.batch_size
        bytes_of_image = 4 * (size + (MLP_UNITS if hidden else 0))
        epoch_steps = -(-len(indices[0]) // batch)
        steps = min(max(BUFFER_BYTES // (bytes_of_image * seeds * batch), 1), epoch_steps)
        self._rows = _aligned((steps, seeds, batch, size))
        self._kept = np.ones((steps, seeds, batch, MLP_UNITS), bool) if hidden else None

    def train_epoch(self, orders: np.ndarray, epoch: int) -> None:
        """Takes the steps of an epoch.

        Args:
            orders: The images in order, int [seeds, K].
            epoch: Its number, counted from 0.
        """
        seeds, count = orders.shape
        batch = self._training.batch_size
        steps = -(-count // batch)
        # The last batch is filled up with images of weight 0, so that all batches have one shape.
        padded = np.zeros((seeds, steps * batch), np.intp)
        padded[:, :count] = orders
        batches = padded.reshape(seeds, steps, batch).swapaxes(0, 1)
        sizes = np.minimum(count - batch * np.arange(steps), batch).astype(np.float32)
        rates = self._training.rates(epoch, steps)
        for first in range(0, steps, len(self._rows)):
            several = slice(first, first + len(self._rows))
            self._take_steps(batches[several], sizes[several], rates[several])

    def _take_steps(self, batches, sizes, rates):
        count = len(batches)
        np.take(self._features, batches, axis=0, out=self._rows[:count], mode="clip")
        if self._kept is not None and self._training.dropout:
            for seed, rng in enumerate(self._dropout):
                noise = rng.random(self._kept[:count, seed].shape, np.float32)
                self._kept[:count, seed] = noise >= self._training.dropout
        is_small = self._rows.shape[-1] <= MAX_XLA_FEATURES
        function = _compiled(self._rows.shape, self._labels.ndim, is_small)
        steps = len(self._rows)
        function(
            self._weights,
            self._adam,
            self._statistics,
            # A new tensor for each call, because a device may keep its copy of one that it has
            # seen.
            tf.experimental.dlpack.from_dlpack(self._rows.__dlpack__()),
            tf.constant(_filled(self._labels[batches], steps)),
            tf.constant(_filled(sizes, steps)),
            tf.constant(_filled(rates, steps)),
            None if self._kept is None else tf.constant(self._kept),
            tf.constant(count),
            tf.constant(self._steps_taken),
            tf.constant(1 - self._training.dropout, tf.float32),
        )
        self._steps_taken += count

    def logits(self, features: np.ndarray) -> np.ndarray:
        """The logits of features, float32 [M, F]: [seeds, M, outputs]."""
        chunks = []
        for first in range(0, len(features), TEST_BATCH_SIZE):
            chunk = tf.constant(features[np.newaxis, first : first + TEST_BATCH_SIZE])
            if self._has_hidden:
                h = _hidden(self._weights, chunk)
                chunk = tf.nn.relu(_normalise(self._weights, h, *self._statistics))
            else:
                chunk = _standardise(chunk, *self._statistics)
            chunks.append(_output(self._weights, chunk).numpy())
        return np.concatenate(chunks, axis=1)


def _seeds_moments(features, indices):
    """Mean and variance of the features of each seed's images: both float32 [seeds, 1, F]."""
    by_images = {}
    for of_seed in indices:
        if id(of_seed) not in by_images:
            images = np.unique(of_seed)
            is_all = len(images) == len(features)
            by_images[id(of_seed)] = moments(features if is_all else features[images])
    means, variances = zip(*(by_images[id(of_seed)] for of_seed in indices), strict=True)
    return tuple(np.stack(values)[:, np.newaxis] for values in (means, variances))


def _filled(array, length):
    """An array [n, ...] with zeros appended: [length, ...]."""
    return np.pad(array, [(0, length - len(array))] + [(0, 0)] * (array.ndim - 1))


def _aligned(shape):
    """A float32 array whose memory TensorFlow can share."""
    size = 4 * int(np.prod(shape))
    memory = np.empty(size + ALIGNMENT, np.uint8)
    offset = -memory.ctypes.data % ALIGNMENT
    return memory[offset : offset + size].view(np.float32).reshape(shape)


def _training_steps(
    weights, adam, statistics, rows, labels, sizes, rates, kept, count, steps_taken, keep_rate
):
    """Takes `count` steps of all seeds.

    Args:
        weights: Variables [seeds, ...], by name.
        adam: Their two moments.
        statistics: Mean and variance of the features, [seeds, 1, F]; for an MLP those of its batch
            norm, variables [seeds, 1, units].
        rows: Features, [steps, seeds, batch, F].
        labels: [steps, seeds, batch], or [steps, seeds, batch, A].
        sizes: Number of images in each step, [steps]; further images of its batch are ignored.
        rates: Learning rate of each step, [steps].
        kept: Which hidden units dropout keeps, bool [steps, seeds, batch, units]; None: no MLP.
        count: Number of steps.
        steps_taken: Number of steps taken before.
        keep_rate: Fraction of the hidden units that dropout keeps.
    """
    for i in tf.range(count):
        step = tf.cast(steps_taken + i + 1, tf.float32)
        of_step = (rows[i], labels[i], sizes[i], None if kept is None else kept[i])
        gradients = _gradients(weights, statistics, *of_step, keep_rate)
        for name, weight in weights.items():
            first, second = adam[name]
            tf.raw_ops.ResourceApplyAdam(
                var=weight.handle,
                m=first.handle,
                v=second.handle,
                beta1_power=tf.pow(BETAS[0], step),
                beta2_power=tf.pow(BETAS[1], step),
                lr=rates[i],
                beta1=BETAS[0],
                beta2=BETAS[1],
                epsilon=EPSILON,
                grad=gradients[name],
            )


@functools.cache
def _compiled(shape: tuple[int, ...], label_axes: int, jit_compile: bool) -> Callable:
    """`_training_steps` for one shape of features: TensorFlow warns of many traces."""
    return tf.function(_training_steps, jit_compile=jit_compile)


def _gradients(weights, statistics, x, labels, size, kept, keep_rate):
    """The gradients of one step's loss, by name; updates the statistics of the batch norm."""
    weight_of_image = tf.cast(tf.range(float(x.shape[1])) < size, tf.float32) / size
    with tf.GradientTape() as tape:
        if kept is None:
            x = _standardise(x, *statistics)
        else:
            h = _hidden(weights, x)
            of_batch = _batch_statistics(h, weight_of_image[:, tf.newaxis])
            h = tf.nn.relu(_normalise(weights, h, *of_batch))
            x = tf.where(kept, h / keep_rate, 0.0)
        losses = _cross_entropy(labels, _output(weights, x))
        loss = tf.reduce_sum(losses * weight_of_image)  # each seed's depends on its weights only
    if kept is not None:
        for moving, value in zip(statistics, of_batch, strict=True):
            moving.assign(moving * BATCH_NORM_MOMENTUM + value * (1 - BATCH_NORM_MOMENTUM))
    return tape.gradient(loss, weights)


def _hidden(weights, x):
    return tf.matmul(x, weights["hidden_kernel"]) + weights["hidden_bias"]


def _batch_statistics(h, weight_of_image):
    mean = tf.reduce_sum(h * weight_of_image, axis=1, keepdims=True)
    deviation = tf.square(h - mean)
    return mean, tf.reduce_sum(deviation * weight_of_image, axis=1, keepdims=True)


def _normalise(weights, h, mean, variance):
    scale = weights["norm_scale"] * tf.math.rsqrt(variance + NORM_EPSILON)
    return (h - mean) * scale + weights["norm_offset"]


def _standardise(x, mean, variance):
    return (x - mean) * tf.math.rsqrt(variance)


def _output(weights, x):
    return tf.matmul(x, weights["output_kernel"]) + weights["output_bias"]


def _cross_entropy(labels, logits):
    """The cross-entropy of each image; for attributes, its mean over them."""
    if labels.dtype == tf.float32:
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits), axis=-1)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
