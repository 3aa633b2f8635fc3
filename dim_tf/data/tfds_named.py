"""Any data set of TensorFlow Datasets that has one image in each example: `tfds:NAME`."""

from typing import Any

import numpy as np

from dim_tf.data import TFDS, Request, image_ops, tfds_files
from dim_tf.data.splits import Split, Splits
from dim_tf.system.errors import InputError

DEFAULT_SIZE = 64
LARGEST_DEFAULT_SIZE = 96
TEST_SPLITS = ("test", "validation")
SLICES = ("train[:90%]", "train[90%:]")


def load(name: str, request: Request) -> Splits:
    """A data set of TFDS by its name.

    The image is the only image feature, or that called image; the label, the class label of its
    supervised keys, or its only one, or there are none. The encoder is trained on the split train;
    test is the split test, or else validation, or else the last tenth of train.

    Args:
        name: NAME[/CONFIG][:VERSION].
        request: which images of it. Size 0: the images' own where it is one size of at most
            `LARGEST_DEFAULT_SIZE` pixels, else `DEFAULT_SIZE`.

    Raises:
        InputError: unknown, without such images or splits, or its files cannot be had.
    """
    builder = tfds_files.find(name, request)
    image, label = _image(builder), _label(builder)
    size = request.image_size or _own_size(builder.info.features[image])
    tfds_files.prepare(builder, request)
    training, testing, labelled = _splits(builder, label)
    wanted = {image: True, **({label: True} if labelled else {})}

    def read(split):
        return tfds_files.read(
            builder,
            split,
            size,
            (lambda example: example[label]) if labelled else None,
            fit=_fit,
            image=image,
            features=wanted,
        )

    train, test = read(training), read(testing)
    # TFDS writes -1 where the label is not known.
    if labelled and min(train.labels.min(), test.labels.min()) < 0:
        labelled = False
        train, test = Split(train.images, None), Split(test.images, None)
    return Splits(
        name=TFDS + name,
        train=train,
        test=test,
        label_names=tuple(builder.info.features[label].names) if labelled else (),
        note=(
            f"{builder.info.full_name} of TensorFlow Datasets, at {size}x{size} pixels, feature "
            f"{image}, {f'label {label}' if labelled else 'without labels'}; trained on "
            f"{training}, tested on {testing}."
        ),
    )


def _features(builder) -> dict[str, Any]:
    features = builder.info.features
    return dict(features) if hasattr(features, "items") else {}


def _image(builder):
    import tensorflow_datasets as tfds

    masks = tfds.features.LabeledImage  # a subclass, of class numbers
    images = [
        name
        for name, feature in _features(builder).items()
        if isinstance(feature, tfds.features.Image) and not isinstance(feature, masks)
    ]
    if not images:
        has = ", ".join(_features(builder)) or "none by name"
        raise InputError(f"{TFDS}{builder.name} has no images; its features: {has}")
    if len(images) > 1 and "image" not in images:
        raise InputError(
            f"{TFDS}{builder.name} has several images in an example, {', '.join(images)}, and none "
            "is called image; write the one to train on to a folder of images"
        )
    name = "image" if "image" in images else images[0]
    feature = builder.info.features[name]
    kind = np.dtype(feature.np_dtype)
    if kind != np.uint8 or len(feature.shape) != 3 or feature.shape[-1] not in (1, 3, 4):
        raise InputError(
            f"{TFDS}{builder.name} has images of {kind.name} {feature.shape}; expected uint8, "
            "height, width and 1, 3 or 4 channels"
        )
    return name


def _label(builder):
    """The name of the label; None: it has none, or one that cannot be told from others."""
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


def _own_size(feature):
    height, width, _ = feature.shape
    side = min(height or 0, width or 0)
    return side if 0 < side <= LARGEST_DEFAULT_SIZE else DEFAULT_SIZE


def _splits(builder, label):
    """The splits to train and to test on, and whether both have labels."""
    names = list(builder.info.splits)
    if "train" not in names:
        raise InputError(
            f"{TFDS}{builder.name} has no split train; its splits: {', '.join(names) or 'none'}"
        )
    tests = [name for name in TEST_SPLITS if name in names]
    # A test split whose labels are held back: that of validation may have them.
    for test in tests:
        if label is not None and _has_labels(builder, test, label):
            return "train", test, True
    if tests:
        return "train", tests[0], False
    if builder.info.disable_shuffling:
        raise InputError(
            f"{TFDS}{builder.name} has neither split test nor validation, and its examples are in "
            "an order of their own, so that the last of them are no fair test"
        )
    return *SLICES, label is not None


def _has_labels(builder, split, label):
    (example,) = builder.as_dataset(split=split, shuffle_files=False).take(1)
    return int(example[label]) >= 0


def _fit(image, size):
    """As `image_ops.fit`; of colour and transparency, colour alone."""
    return image_ops.fit(image[..., :3], size)
