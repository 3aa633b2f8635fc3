"""Matrix products, which bound the speed of a training step."""


def make_product(shape: tuple[int, int, int], precision: str):
    """A function that multiplies [rows, inputs] by [inputs, outputs]."""
    import tensorflow as tf

    rows, inputs, outputs = shape
    a = tf.cast(tf.random.normal([rows, inputs]), precision)
    b = tf.cast(tf.random.normal([inputs, outputs]), precision)
    product = tf.function(tf.matmul)
    return lambda: product(a, b)[0, 0].numpy()


def make_numpy_product(shape: tuple[int, int, int]):
    """The same by NumPy's BLAS, in float32."""
    import numpy as np

    rows, inputs, outputs = shape
    rng = np.random.default_rng(0)
    a = rng.standard_normal((rows, inputs), np.float32)
    b = rng.standard_normal((inputs, outputs), np.float32)
    return lambda: (a @ b)[0, 0]


def product_flops(shape: tuple[int, int, int]) -> int:
    """Floating-point operations of a product of [rows, inputs] by [inputs, outputs]."""
    rows, inputs, outputs = shape
    return 2 * rows * inputs * outputs
