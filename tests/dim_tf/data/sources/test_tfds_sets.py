"""CIFAR-100, STL-10 and Fashion-MNIST, which TFDS's own builders make of small files."""

import gzip

import numpy as np
import pytest
import sample_files
from tensorflow_datasets.image_classification import mnist

from dim_tf import data
from dim_tf.system.errors import InputError

RNG = np.random.default_rng(0)


def load(name, folder, size=0):
    return data.load(name, data.DataRequest(str(folder), size, download=False))


def test_cifar100_has_its_fine_labels(tmp_path, monkeypatch):
    folder = tmp_path / "files" / "cifar-100-binary"
    folder.mkdir(parents=True)
    pixels = RNG.integers(0, 256, (9, 3, 32, 32), np.uint8)
    fine = np.array([99, 0, 50, 1, 2, 3, 4, 5, 6], np.uint8)
    rows = np.concatenate(
        [np.zeros([9, 1], np.uint8), fine[:, np.newaxis], pixels.reshape(9, -1)], axis=1
    )
    (folder / "train.bin").write_bytes(rows[:6].tobytes())
    (folder / "test.bin").write_bytes(rows[6:].tobytes())
    for kind, count in (("fine", 100), ("coarse", 20)):
        names = "\n".join(f"{kind}{number}" for number in range(count))
        (folder / f"{kind}_label_names.txt").write_text(names)
    sample_files.build(monkeypatch, "cifar100", tmp_path, folder.parent)
    splits = load("cifar100", tmp_path)
    assert splits.image_shape == (32, 32, 3)
    assert (len(splits.train), len(splits.test), len(splits.label_names)) == (6, 3, 100)
    assert splits.label_names[99] == "fine99"
    truth = {image.tobytes(): label for image, label in zip(pixels, fine, strict=True)}
    for split in (splits.train, splits.test):
        for image, label in zip(split.images, split.labels, strict=True):
            assert truth[image.transpose(2, 0, 1).tobytes()] == label
    (record,) = (tmp_path / "cifar100").rglob("*train.tfrecord*")
    content = bytearray(record.read_bytes())
    content[len(content) // 2] ^= 1
    record.write_bytes(content)
    with pytest.raises(InputError, match=r"cifar100 in .* are damaged \(DataLoss.*prepare"):
        load("cifar100", tmp_path)


@pytest.mark.slow
def test_stl10_trains_without_labels_on_windows(tmp_path, monkeypatch):
    folder = tmp_path / "files" / "stl10_binary"
    folder.mkdir(parents=True)
    for name, count in (("train", 4), ("test", 3), ("unlabeled", 5)):
        images = RNG.integers(0, 256, (count, 3, 96, 96), np.uint8)
        (folder / f"{name}_X.bin").write_bytes(images.tobytes())
        (folder / f"{name}_y.bin").write_bytes(bytes(range(1, count + 1)))
    (folder / "class_names.txt").write_text("\n".join(f"class{n}" for n in range(10)) + "\n")
    sample_files.build(monkeypatch, "stl10", tmp_path, folder.parent)
    splits = load("stl10", tmp_path)
    assert splits.image_shape == (64, 64, 3)
    assert splits.train.labels is None
    assert splits.train.uncropped.shape == (5, 96, 96, 3)
    np.testing.assert_array_equal(splits.train.images[:], splits.train.uncropped[:, 16:80, 16:80])
    assert splits.labelled is not None
    assert splits.labelled.images.shape == (4, 64, 64, 3)
    assert splits.labelled.uncropped.shape == (4, 96, 96, 3)  # a supervised model's windows
    assert sorted(splits.labelled.labels) == [0, 1, 2, 3]
    assert sorted(splits.test.labels) == [0, 1, 2]
    assert splits.label_names[9] == "class9"
    assert load("stl10", tmp_path, 96).image_shape == (96, 96, 3)
    with pytest.raises(InputError, match="give at most 96"):
        load("stl10", tmp_path, 128)


@pytest.fixture
def idx_files(tmp_path):
    """Four idx files, half of them compressed, and the files that TFDS downloads."""
    folder = tmp_path / "idx"
    folder.mkdir()
    downloads = {}
    for split, prefix, count in (("train", "train", 9), ("test", "t10k", 4)):
        images = sample_files.idx(RNG.integers(0, 256, (count, 28, 28)))
        labels = sample_files.idx(np.arange(count) % 10)
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(labels)
        for part, content in (("data", images), ("labels", labels)):
            downloads[f"{split}_{part}"] = tmp_path / f"{split}_{part}"
            downloads[f"{split}_{part}"].write_bytes(content)
    return folder, downloads


@pytest.mark.slow
def test_fashion_mnist_from_idx_files_is_that_of_tfds(idx_files, tmp_path, monkeypatch):
    folder, downloads = idx_files
    monkeypatch.setattr(mnist, "_TRAIN_EXAMPLES", 9)
    monkeypatch.setattr(mnist, "_TEST_EXAMPLES", 4)
    sample_files.build(monkeypatch, "fashion_mnist", tmp_path, downloads)
    raw = load("fashion_mnist", folder)
    sample_files.same(raw, load("fashion_mnist", tmp_path))
    assert raw.image_shape == (28, 28, 1)
    assert (len(raw.train), len(raw.test)) == (9, 4)


def test_fashion_mnists_files_must_fit_together(idx_files):
    folder, _ = idx_files
    (folder / "t10k-labels-idx1-ubyte").write_bytes(sample_files.idx(np.zeros(3)))
    with pytest.raises(InputError, match="has 3 values; expected 4; get"):
        load("fashion_mnist", folder, 8)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(sample_files.idx(np.full(4, 10)))
    with pytest.raises(InputError, match="label 10; expected 0 to 9"):
        load("fashion_mnist", folder, 8)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(InputError, match="but not t10k-labels-idx1-ubyte"):
        load("fashion_mnist", folder, 8)
