"""The estimators' equations in NumPy, and the estimators' values and gradients."""

import numpy as np
import tensorflow as tf

from keras_models import estimators
from keras_models.critics import PairScores

SHAPES = [(4, 3, 1, 1), (4, 3, 4, 1), (4, 3, 1, 2), (3, 2, 4, 3), (3, 1, 4, 2)]  # N, K, L, G


def softplus(t):
    return np.log1p(np.exp(t))


def jensen_shannon(joint, product):
    return np.mean(-softplus(-joint)) - np.mean(softplus(product))


def info_nce(joint, product):
    images, locations, globals_ = joint.shape
    bounds = []
    for n in range(images):
        for g in range(globals_):
            negatives = product[n, :, :, g].ravel()
            for l in range(locations):  # noqa: E741
                candidates = np.append(negatives, joint[n, l, g])
                bounds.append(joint[n, l, g] - np.log(np.mean(np.exp(candidates))))
    return np.mean(bounds)


def donsker_varadhan(joint, product):
    _, locations, globals_ = joint.shape
    bounds = []
    for l in range(locations):  # noqa: E741
        for g in range(globals_):
            of_joint = np.mean([t[l, g] for t in joint])
            of_product = np.mean([np.exp(t[l, g]) for others in product for t in others])
            bounds.append(of_joint - np.log(of_product))
    return np.mean(bounds)


def nguyen_wainwright_jordan(joint, product):
    return np.mean(joint) - np.mean(np.exp(product - 1))


def gan(joint, product):
    """The logarithms of the probabilities that a discriminator tells."""
    sigmoid = 1 / (1 + np.exp(-joint)), 1 / (1 + np.exp(-product))
    return np.mean(np.log(sigmoid[0])) + np.mean(np.log(1 - sigmoid[1]))


def fenchel_dual(activation, conjugate):
    """E[g(t)] - E[f*(g(t'))], with the rows of f-GAN's tables 1 and 2."""

    def value(joint, product):
        return np.mean(activation(joint)) - np.mean(conjugate(activation(product)))

    return value


GOLDEN = {
    "jsd": jensen_shannon,
    "infonce": info_nce,
    "dv": donsker_varadhan,
    "nwj": nguyen_wainwright_jordan,
    "gan": gan,
    "rkl": fenchel_dual(lambda t: -np.exp(-t), lambda v: -1 - np.log(-v)),
    "hellinger": fenchel_dual(lambda t: 1 - np.exp(-t), lambda v: v / (1 - v)),
    "chi2": fenchel_dual(lambda t: t, lambda v: v**2 / 4 + v),
    "w1": fenchel_dual(lambda t: t, lambda v: v),
}


def evaluate(name, joint, product):
    """The estimator's value and its gradients."""
    joint, product = tf.cast(joint, tf.float32), tf.cast(product, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([joint, product])
        value = estimators.get(name)(PairScores(joint, product))
    return value, *tape.gradient(value, [joint, product])
