"""Local maps in colours: those of the encoder, of test images, the same at each run."""

import numpy as np
from sample_representations import small_encoder
from small_export import images

from dim_tf.data import image_ops
from dim_tf.evaluation import pca_maps
from dim_tf.evaluation.evaluation_data import EvaluationData, EvaluationSplit
from dim_tf.evaluation.measure_spec import MeasureContext, TrainableEncoders
from dim_tf.evaluation.measures import patches
from dim_tf.evaluation.representation import Representation
from dim_tf.experiment import Experiment

PIXELS = np.rint(images(40) * 255).astype(np.uint8)


def context(encoder):
    none = np.zeros((30, 0), np.int64)
    train, test = EvaluationSplit(PIXELS[:30], none), EvaluationSplit(PIXELS[30:], none[:10])
    representation = Representation({}, {}, EvaluationData(train, test, (), "random"))
    encoders = TrainableEncoders(encoder, encoder) if encoder else None
    return MeasureContext(representation, lambda data: None, Experiment(name="a"), 1, encoders)


def test_maps_are_the_encoders_in_colours_of_the_training_images(monkeypatch):
    monkeypatch.setattr(patches, "BATCH_PIXELS", 7 * 64)
    monkeypatch.setattr(patches, "SHOWN_IMAGES", 4)
    encoder = small_encoder(0, channels=3)
    measure = patches.SPEC.build(context(encoder))
    for _ in range(2):
        (result,) = measure.run()
        (figure,) = measure.figures()
    x = image_ops.encoder_input(image_ops.to_unit(PIXELS), 3)
    maps = encoder(x, training=False)["local"].numpy()
    components = pca_maps.fit(maps[:30])
    np.testing.assert_array_equal(figure.images, PIXELS[[30, 33, 36, 39]])
    expected = components.colours(maps[[30, 33, 36, 39]])
    np.testing.assert_allclose(figure.maps.astype(int), expected, atol=1)
    assert len(np.unique(figure.maps)) > 20
    assert result.metric == "local_components"
    np.testing.assert_allclose(result.value, components.explained.sum(), rtol=1e-4)
    assert measure.protocol.keys() == measure.metrics.keys() == {result.metric}


def test_an_encoder_from_elsewhere_has_none():
    assert "needs an encoder" in patches.SPEC.unmet_requirement(context(None))
    assert not patches.SPEC.unmet_requirement(context(small_encoder(0)))
