"""Any data set of TensorFlow Datasets that has one image in each example: `tfds:NAME`."""

from typing import Any

import numpy as np

from dim_tf.data import DataRequest, image_ops
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.sources import TFDS_PREFIX, tfds_files
from dim_tf.data.splits import Split, Splits
from dim_tf.system.errors import InputError

DEFAULT_SIZE = 64
MAX_NATIVE_SIZE = 96
TEST_SPLITS = ("test", "validation")
TRAIN_AND_TEST_SLICES = ("train[:90%]", "train[90%:]")


def load(name: str, request: DataRequest) -> Splits:
    """A TFDS data set, by name.

    The image is the only image feature, or the one called "image". The label is the class label
    among the supervised keys, or else the only class label; otherwise there are none. The encoder
    is trained on the split "train". Test images are the split "test", or else "validation", or else
    the last tenth of "train".

    Args:
        name: NAME[/CONFIG][:VERSION].
        request: The requested images. Size 0: the images' own size if all have the same, of at most
            `MAX_NATIVE_SIZE` pixels, else `DEFAULT_SIZE`.

    Raises:
        InputError: It is unknown, has no such images or splits, or its files cannot be downloaded.
    """
    builder = tfds_files.find_builder(name, request)
    image, label = _find_image(builder), _find_label(builder)
    size = request.image_size or _native_size(builder.info.features[image])
    frame = ImageFrame.of(size, fit=request.fit)
    tfds_files.prepare(builder, request)
    training, testing, labelled = _choose_splits(builder, label)
    decoded = {image: True, **({label: True} if labelled else {})}

    def read(split):
        return tfds_files.read_split(
            builder,
            split,
            frame,
            (lambda example: example[label]) if labelled else None,
            fit=_fit_color,
            image=image,
            features=decoded,
        )

    train, test = read(training), read(testing)
    # TFDS writes -1 for an unknown label.
    if labelled and min(train.labels.min(), test.labels.min()) < 0:
        labelled = False
        train, test = Split(train.images, None), Split(test.images, None)
    return Splits(
        name=TFDS_PREFIX + name,
        train=train,
        test=test,
        label_names=tuple(builder.info.features[label].names) if labelled else (),
        note=(
            f"{builder.info.full_name} of TensorFlow Datasets, at {frame} pixels, feature "
            f"{image}, {f'label {label}' if labelled else 'without labels'}; trained on "
            f"{training}, tested on {testing}."
        ),
    )


def _features(builder) -> dict[str, Any]:
    features = builder.info.features
    return dict(features) if hasattr(features, "items") else {}


def _find_image(builder):
    import tensorflow_datasets as tfds

    masks = tfds.features.LabeledImage  # a subclass, of class numbers
    images = [
        name
        for name, feature in _features(builder).items()
        if isinstance(feature, tfds.features.Image) and not isinstance(feature, masks)
    ]
    if not images:
        names = ", ".join(_features(builder)) or "none by name"
        raise InputError(f"{TFDS_PREFIX}{builder.name} has no images; its features: {names}")
    if len(images) > 1 and "image" not in images:
        raise InputError(
            f"{TFDS_PREFIX}{builder.name} has several images in an example, {', '.join(images)}, "
            "and none is called image; write the one to train on to a folder of images"
        )
    name = "image" if "image" in images else images[0]
    feature = builder.info.features[name]
    dtype = np.dtype(feature.np_dtype)
    if dtype != np.uint8 or len(feature.shape) != 3 or feature.shape[-1] not in (1, 3, 4):
        raise InputError(
            f"{TFDS_PREFIX}{builder.name} has images of {dtype.name} {feature.shape}; expected "
            "uint8, height, width and 1, 3 or 4 channels"
        )
    return name


def _find_label(builder):
    """The name of the label; None if there is none, or if it is ambiguous."""
    import tensorflow_datasets as tfds

    labels = [
        name
        for name, feature in _features(builder).items()
        if isinstance(feature, tfds.features.ClassLabel) and feature.num_classes
    ]
    supervised = (builder.info.supervised_keys or (None,))[-1]
    if supervised in labels:
        return supervised
    return labels[0] if len(labels) == 1 else None


def _native_size(feature):
    height, width, _ = feature.shape
    side = min(height or 0, width or 0)
    return side if 0 < side <= MAX_NATIVE_SIZE else DEFAULT_SIZE


def _choose_splits(builder, label):
    """The splits to train and to test on, and whether both have labels."""
    names = list(builder.info.splits)
    if "train" not in names:
        raise InputError(
            f"{TFDS_PREFIX}{builder.name} has no split train; its splits: "
            f"{', '.join(names) or 'none'}"
        )
    tests = [name for name in TEST_SPLITS if name in names]
    # If the labels of "test" are withheld, "validation" may have some.
    for test in tests:
        if label is not None and _has_labels(builder, test, label):
            return "train", test, True
    if tests:
        return "train", tests[0], False
    if builder.info.disable_shuffling:
        raise InputError(
            f"{TFDS_PREFIX}{builder.name} has neither split test nor validation, and its examples "
            "are in an order of their own, so that the last of them are no fair test"
        )
    return *TRAIN_AND_TEST_SLICES, label is not None


def _has_labels(builder, split, label):
    (example,) = builder.as_dataset(split=split, shuffle_files=False).take(1)
    return int(example[label]) >= 0


def _fit_color(image, frame):
    """Like `image_ops.fit_image`, without transparency."""
    return image_ops.fit_image(image[..., :3], frame)
