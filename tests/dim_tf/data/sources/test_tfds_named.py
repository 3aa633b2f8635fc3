"""`tfds:NAME`: data sets of several schemas, and which are refused."""

from typing import ClassVar

import numpy as np
import pytest
import sample_files
import tensorflow as tf
import tensorflow_datasets as tfds

from dim_tf import data
from dim_tf.collection import image_collection
from dim_tf.data.sources import check_name, tfds_files
from dim_tf.system.errors import InputError

LABEL = tfds.features.ClassLabel


class GeneratedBuilder(tfds.core.GeneratorBasedBuilder):
    """A data set whose schema and splits are its subclass's."""

    VERSION = tfds.core.Version("1.0.0")
    features: ClassVar[dict] = {}
    splits: ClassVar[dict] = {}  # numbers of the images, by split
    supervised: ClassVar[tuple | None] = None
    ordered = False

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(self.features),
            supervised_keys=self.supervised,
            disable_shuffling=self.ordered,
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(rows) for split, rows in self.splits.items()}

    def _generate_examples(self, rows):
        for row in rows:
            yield row, self.example(row)

    def example(self, row):
        example = {}
        for name, feature in self.features.items():
            if isinstance(feature, tfds.features.Image):
                shape = [side or 12 for side in feature.shape]
                example[name] = np.full(shape, row, feature.np_dtype)
            else:
                example[name] = -1 if row >= 100 else row % 3
        return example


class SamplePlain(GeneratedBuilder):
    """Image and label, train and test."""

    features: ClassVar[dict] = {
        "image": tfds.features.Image(shape=(24, 20, 1)),
        "label": LABEL(num_classes=3),
    }
    splits: ClassVar[dict] = {"train": range(6), "test": range(50, 53)}


class SampleHeldBack(GeneratedBuilder):
    """Two labels; the test split's are withheld."""

    features: ClassVar[dict] = {
        "photo": tfds.features.Image(shape=(None, None, 3)),
        "coarse": LABEL(num_classes=3),
        "fine": LABEL(names=["a", "b", "c"]),
        "mask": tfds.features.LabeledImage(labels=2, shape=(None, None, 1)),
    }
    splits: ClassVar[dict] = {
        "train": range(6),
        "validation": range(50, 54),
        "test": range(100, 103),
    }
    supervised = ("photo", "fine")

    def example(self, row):
        return super().example(row) | {"mask": np.zeros([12, 12, 1], np.uint8)}


class SampleTrainAlone(GeneratedBuilder):
    """Images alone, with transparency, in one split."""

    features: ClassVar[dict] = {"image": tfds.features.Image(shape=(200, 200, 4))}
    splits: ClassVar[dict] = {"train": range(20)}


class SampleOrdered(SampleTrainAlone):
    """One split in its own order."""

    ordered = True


class SampleTwo(GeneratedBuilder):
    """Two images."""

    features: ClassVar[dict] = {"left": tfds.features.Image(), "right": tfds.features.Image()}
    splits: ClassVar[dict] = {"train": range(2)}


class SampleDeep(GeneratedBuilder):
    """Images of 16 bits."""

    features: ClassVar[dict] = {"image": tfds.features.Image(shape=(8, 8, 1), dtype=np.uint16)}
    splits: ClassVar[dict] = {"train": range(2)}


class SampleNumbers(GeneratedBuilder):
    """No images."""

    features: ClassVar[dict] = {"label": LABEL(num_classes=3)}
    splits: ClassVar[dict] = {"train": range(2)}


class SampleTestAlone(SampleTwo):
    """No split train."""

    features: ClassVar[dict] = {"image": tfds.features.Image(shape=(8, 8, 1))}
    splits: ClassVar[dict] = {"test": range(2)}


class SampleMany(GeneratedBuilder):
    """Enough images for several files."""

    features: ClassVar[dict] = {"image": tfds.features.Image(shape=(8, 8, 1))}
    splits: ClassVar[dict] = {"train": range(60), "test": range(60, 62)}


def load(name, folder, size=0):
    return data.load(f"tfds:{name}", data.DataRequest(str(folder), size))


def values(split):
    """What the images are filled with."""
    return sorted(int(image[0, 0, 0]) for image in split.images[:])


def test_image_and_label(tmp_path):
    splits = load("sample_plain", tmp_path)
    assert splits.name == "tfds:sample_plain"
    assert splits.image_shape == (20, 20, 1)
    assert (values(splits.train), values(splits.test)) == ([*range(6)], [50, 51, 52])
    for split in (splits.train, splits.test):
        assert list(split.labels) == [image[0, 0, 0] % 3 for image in split.images]
    assert splits.label_names == ("0", "1", "2")
    assert "trained on train, tested on test" in splits.note
    again = load("sample_plain:1.0.0", tmp_path, 8)
    assert again.image_shape == (8, 8, 1)


def test_it_can_be_embedded(tmp_path):
    where = "tfds:sample_plain:test+train"
    collection = image_collection.open_collection(where, str(tmp_path), download=True)
    assert collection.description == "9 images of sample_plain, test+train"
    named = [one for ids, _ in collection.batches_from(1, 4) for one in ids]
    assert named == ["test:1", "test:2", *(f"train:{number}" for number in range(6))]
    _, encoded = next(collection.batches_from(0, 9))
    pixels = [int(tf.io.decode_png(image)[0, 0, 0]) for image in encoded]
    assert (sorted(pixels[:3]), sorted(pixels[3:])) == ([50, 51, 52], [*range(6)])
    with pytest.raises(InputError, match="no split 'tset'"):
        image_collection.open_collection("tfds:sample_plain:tset", str(tmp_path))
    with pytest.raises(InputError, match="did you mean sample_plain"):
        image_collection.open_collection("tfds:sample_plane:test", str(tmp_path))


@pytest.mark.slow
def test_the_supervised_label_and_the_split_that_has_it(tmp_path):
    splits = load("sample_held_back", tmp_path)
    assert splits.image_shape == (64, 64, 3)
    assert splits.label_names == ("a", "b", "c")
    assert values(splits.test) == [50, 51, 52, 53]
    assert "label fine; trained on train, tested on validation" in splits.note


@pytest.mark.slow
def test_no_labels_and_a_slice_to_test_on(tmp_path):
    splits = load("sample_train_alone", tmp_path)
    assert splits.image_shape == (64, 64, 3)
    assert splits.train.labels is None
    assert splits.test.labels is None
    assert splits.label_names == ()
    assert (len(splits.train), len(splits.test)) == (18, 2)
    assert sorted(values(splits.train) + values(splits.test)) == list(range(20))
    assert "tested on train[90%:]" in splits.note


def test_the_order_is_that_of_the_keys_and_not_of_the_files(tmp_path, monkeypatch):
    sample_files.build(monkeypatch, "sample_many", tmp_path, None, num_shards=2)
    train = load("sample_many", tmp_path).train
    order = [int(image[0, 0, 0]) for image in train.images]
    assert order == tfds_files.tfds_order(range(60), "train")
    assert order != sorted(order)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("sample_ordered", "an order of their own"),
        ("sample_two", "several images in an example, left, right"),
        ("sample_deep", r"images of uint16 \(8, 8, 1\); expected uint8"),
        ("sample_numbers", "no images; its features: label"),
        ("sample_test_alone", "no split train; its splits: test"),
        ("sample_plane", "no 'sample_plane'; did you mean sample_plain"),
        ("sample_plain/large", "cannot make 'sample_plain/large'"),
        ("sample_plain:7.0.0", "cannot make 'sample_plain:7.0.0'"),
    ],
)
def test_data_sets_that_cannot_be_used_are_refused(tmp_path, name, says):
    with pytest.raises(InputError, match=says):
        load(name, tmp_path)


@pytest.mark.parametrize("name", ["x", "svhn_cropped", "a/b", "a/32x32-v.1+x:1.10.0", "Abc:1.0.0"])
def test_names(name):
    check_name(f"tfds:{name}")


@pytest.mark.parametrize(
    "name",
    ["", "../x", "a/../b", "a/..", "a//b", "a b", "huggingface:mnist", "a:1", "a/b/x=1", "/a"],
)
def test_names_that_are_none(name):
    with pytest.raises(InputError, match="is no name of TensorFlow Datasets"):
        check_name(f"tfds:{name}")


def test_a_name_close_to_one_is_offered():
    with pytest.raises(InputError, match=r"did you mean cifar100\?.*or tfds:NAME"):
        check_name("cifar-100")
