"""Predictability minimisation: no dimension of the global feature says anything of the others."""

import keras
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.nn import layers
from keras_models.terms.base import Term, TermOutput, global_samples


@keras.saving.register_keras_serializable(layers.PACKAGE)
class PredictabilityMinimization(Term):
    """Each dimension is unpredictable from the others (Schmidhuber 1992, equations 1 and 2).

    https://doi.org/10.1162/neco.1992.4.6.863. A predictor for each dimension i of y = sigmoid(Y)
    predicts y_i from the other dimensions. The predictors, which are the adversary, minimise V =
    Σ_i E[(P_i(y without y_i) - y_i)²], and the encoder maximises it. The units are logistic, as
    the paper's: without bounds, larger features would be harder to predict. V is here the mean over
    the dimensions. At the optimum of independent dimensions, each is predicted by its mean, and V
    is their variance, at most ¼, which binary units have. Several globals of an image are separate
    samples.

    Args:
        hidden_units: Units of the hidden layer (ReLU) of each predictor, whose output is logistic.
        weight: Of the term.

    Raises:
        ValueError: When built, the global feature has one dimension, which leaves no others.
    """

    def __init__(self, hidden_units: int = 32, weight: float = 1.0, **kwargs):
        kwargs.setdefault("name", "predictability_minimization")
        super().__init__(weight, dtype="float32", **kwargs)
        self.hidden_units = hidden_units

    @property
    def endpoints(self):
        return ("global",)

    @property
    def adversary_variables(self):
        return self.trainable_variables

    def build(self, shapes):
        dim = shapes["global"][-1]
        if dim < 2:
            raise ValueError(
                f"the global feature has {dim} dimension, which nothing can be predicted from; "
                "give at least 2 (--latent_dim)"
            )
        units = self.hidden_units
        of_inputs = keras.initializers.RandomUniform(-((dim - 1) ** -0.5), (dim - 1) ** -0.5)
        self.kernel = self.add_weight(shape=(dim, dim, units), initializer=of_inputs, name="kernel")
        self.bias = self.add_weight(shape=(dim, units), initializer=of_inputs, name="bias")
        of_hidden = layers.fan_in_bias(units)
        self.out_kernel = self.add_weight(
            shape=(dim, units), initializer=of_hidden, name="out_kernel"
        )
        self.out_bias = self.add_weight(shape=(dim,), initializer=of_hidden, name="out_bias")
        self.built = True

    def predictions(self, codes: tf.Tensor) -> tf.Tensor:
        """Predicts each dimension from the others: y [N, D] -> [N, D]."""
        dim = codes.shape[-1]
        others = 1.0 - tf.eye(dim, dtype=codes.dtype)
        kernel = self.kernel * others[..., tf.newaxis]
        hidden = tf.nn.relu(tf.einsum("nj,ijh->nih", codes, kernel) + self.bias)
        return tf.sigmoid(tf.einsum("nih,ih->ni", hidden, self.out_kernel) + self.out_bias)

    def error(self, codes: tf.Tensor) -> tf.Tensor:
        """V, the predictors' mean squared error: float32 scalar."""
        return tf.reduce_mean((self.predictions(codes) - codes) ** 2)

    def call(self, query, context, random: StepRandom, training: bool = True) -> TermOutput:
        del context, random, training
        codes = tf.sigmoid(global_samples(query["global"]))
        error = self.error(codes)
        of_predictors = self.error(tf.stop_gradient(codes))
        return TermOutput(-error, of_predictors, {"predictability_error": error})

    def get_config(self):
        return {**super().get_config(), "hidden_units": self.hidden_units}
