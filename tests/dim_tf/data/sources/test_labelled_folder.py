"""A folder of images whose labels are in a CSV file, and several folders as one data set."""

import json

import numpy as np
import pytest
from sample_folders import classes_in, loader, written_report
from sample_images import pixels, tree

from dim_tf import data
from dim_tf.data.folder import scan
from dim_tf.data.splits import Splits
from dim_tf.system.errors import InputError
from dim_tf.training import data_fingerprint


@pytest.fixture
def load(tmp_path):
    """A function that writes a file of labels and loads tmp_path/images by it."""

    def of(lines, **settings):
        path = tmp_path / "labels.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return loader(tmp_path)(labels=str(path), **settings)

    return of


def labels_by_name(*splits):
    """The labels of the images of some splits, by their names."""
    return {
        name: label.tolist()
        for split in splits
        for name, label in zip(split.images.names, split.labels, strict=True)
    }


def test_a_file_says_the_classes(tmp_path, load):
    tree(tmp_path / "images", 40)
    rows = [f"{number:03d},{'dog' if number % 3 else 'cat'}" for number in range(30)]
    splits = load(["id,breed", *rows, "gone,cat", "gone too,emu"])
    assert splits.label_names == ("cat", "dog")
    assert splits.train.labels is None
    assert (len(splits.train), len(splits.labelled), len(splits.test)) == (30, 20, 10)
    labels = labels_by_name(splits.labelled, splits.test)
    assert labels == {f"{number:03d}.png": int(number % 3 > 0) for number in range(30)}
    assert (
        "labels: the column breed of labels.csv, 3 classes, 2 rows without an image; 10 for "
        "training have none." in splits.note
    )
    summary = written_report(splits, tmp_path / "run")
    assert summary["classes"] == {"cat": 10, "dog": 20}
    assert summary["label_rows_without_image"] == 2


def test_a_file_says_attributes(tmp_path, load):
    tree(tmp_path / "images", 40)
    rows = [f"{number:03d}.png,{number % 2},{number % 4 // 2}" for number in range(35)]
    splits = load(["file,odd,upper", *rows])
    assert splits.multi_label
    assert splits.label_names == ("odd", "upper")
    labels = labels_by_name(splits.labelled, splits.test)
    assert labels == {f"{n:03d}.png": [n % 2, n % 4 // 2] for n in range(35)}
    assert written_report(splits, tmp_path / "run")["classes"] == {"odd": 17, "upper": 17}
    assert len(splits.train) == 30
    with pytest.raises(InputError, match="10 test images with a label, all of the same attributes"):
        load(["file,tags", *(f"{n:03d},a|b" for n in range(40))])


def test_a_column_says_the_splits(tmp_path, load):
    tree(tmp_path / "images", 45)
    splits_of = ["train"] * 20 + ["test"] * 12 + ["val"] * 5
    rows = [f"{n:03d}.png,{'ab'[n % 2]},{split}" for n, split in enumerate(splits_of)]
    splits = load(["file,label,split", *rows])
    assert labels_by_name(splits.test) == {f"{n:03d}.png": n % 2 for n in range(20, 32)}
    assert labels_by_name(splits.labelled) == {f"{n:03d}.png": n % 2 for n in range(20)}
    assert len(splits.train) == 28
    assert "12 for the test, by the column split of labels.csv: test for the test" in splits.note
    assert "left out: 5 for validation" in splits.note
    assert "by the hash" in load(["file,label,split", *rows], split="hash").note
    without_test = [row.replace("test", "train").replace("val", "train") for row in rows]
    note = load(["file,label,split", *without_test]).note
    assert "(the column split of labels.csv has no labelled images for the test)" in note
    with pytest.raises(InputError, match=r"--split=folders: .* for the test; leave --split out"):
        load(["file,label,split", *without_test], split="folders")
    with pytest.raises(InputError, match=r"has 5 different test images in the column split of"):
        load(["file,label,split", *(row.replace("test", "train") for row in rows)])


def test_a_folder_for_the_test_without_labels_is_neither_trained_nor_measured_on(tmp_path, load):
    """As competitions publish them."""
    for number, where in enumerate(["train"] * 30 + ["test"] * 12):
        classes_in(tmp_path / "images", where, number, 1)
    rows = [f"{number:03d},{'ab'[number % 2]}" for number in range(30)]
    splits = load(["id,label", *rows])
    names = {*splits.train.images.names, *splits.test.images.names}
    assert names == {f"train/{number:03d}.png" for number in range(30)}
    assert "(of test and train none has labelled images for the test)" in splits.note
    assert "left out: 12 for the test without a label or split." in splits.note
    more = [f"{number:03d},{'ab'[number % 2]}" for number in range(30, 41)]
    splits = load(["id,label", *rows, *more])
    assert set(splits.test.images.names) == {f"test/{number:03d}.png" for number in range(30, 41)}
    assert "by the folders: test for the test" in splits.note
    assert "left out: 1 for the test without" in splits.note
    splits = load(["id,label", *rows, *more], test_fraction=0.0)
    assert (len(splits.train), len(splits.test)) == (42, 0)


def test_a_test_of_one_class_is_told(tmp_path):
    for where in ("train/a", "train/b", "test/a"):
        classes_in(tmp_path / "images", where, 100 * len(where) + ord(where[-1]))
    note = loader(tmp_path)().note
    assert "all test images are of the class a, so that no accuracy says anything" in note
    classes_in(tmp_path / "images", "test/b", 900)
    assert "accuracy" not in loader(tmp_path)().note


def test_a_copy_with_a_label_is_kept(tmp_path, load):
    tree(tmp_path / "images", 30, "a/{:03d}.png")
    tree(tmp_path / "images", 30, "b/{:03d}.png")
    splits = load(["file,label", *(f"b/{n:03d},{'xy'[n % 2]}" for n in range(30))])
    assert labels_by_name(splits.train, splits.test) == {f"b/{n:03d}.png": n % 2 for n in range(30)}


def test_a_class_of_the_test_alone_is_an_error(tmp_path, load):
    tree(tmp_path / "images", 40)
    rows = [f"{n:03d},{'abc'[n // 14]},{'test' if n >= 28 else 'train'}" for n in range(40)]
    with pytest.raises(InputError, match=r"of the class c .* none for training; .*--split=hash"):
        load(["file,label,split", *rows])


def test_changed_labels_are_noticed(tmp_path, load, capsys):
    tree(tmp_path / "images", 30)
    rows = [f"{n:03d},{'ab'[n % 2]}" for n in range(30)]
    data_fingerprint.record(tmp_path, load(["file,label", *rows]))
    data_fingerprint.record(tmp_path, load(["file,label", *rows]))
    assert "not the labels" not in capsys.readouterr().out
    data_fingerprint.record(tmp_path, load(["file,label", *rows[:-1], "029,a"]))
    assert "data: not the labels that" in capsys.readouterr().out
    other = load(["file,label", *(row.replace("a", "c") for row in rows)])
    with pytest.raises(InputError, match="begun on other classes than b, c"):
        data_fingerprint.check(tmp_path, other, needs_indices=False, needs_labels=True)


def test_labels_and_columns_are_of_a_folder_and_of_a_file():
    for name, settings, message in (
        ("digits", {"labels": "none"}, r"--labels=none takes effect with --dataset=folder only"),
        ("digits", {"labels": "a.csv"}, r"--labels=a.csv takes effect with --dataset=folder only"),
        ("folder", {"label_column": "x"}, r"--label_column=x is for --labels=FILE.csv"),
    ):
        with pytest.raises(InputError, match=message):
            data.load(name, data.DataRequest(**settings))


def load_several(tmp_path, *names, **settings) -> Splits:
    request = data.DataRequest(
        ",".join(str(tmp_path / name) for name in names),
        cache_dir=str(tmp_path / "cache"),
        **settings,
    )
    return data.load("folder", request)


def test_several_folders_are_one_data_set(tmp_path):
    classes_in(tmp_path, "2023/cats", 0, 15)
    classes_in(tmp_path, "2023/dogs", 15, 15)
    classes_in(tmp_path, "2024/cats", 30, 10)
    classes_in(tmp_path, "2024/emus", 40, 20)
    splits = load_several(tmp_path, "2023", "2024", image_size=24)
    assert splits.label_names == ("cats", "dogs", "emus")
    labels = labels_by_name(splits.train, splits.test)
    assert {name for name, label in labels.items() if label == 0} == {
        *(f"2023/cats/{n:03d}.png" for n in range(15)),
        *(f"2024/cats/{n:03d}.png" for n in range(30, 40)),
    }
    for name, image in zip(splits.train.images.names, splits.train.images[:], strict=True):
        np.testing.assert_array_equal(image, pixels(int(name[-7:-4])))
    assert "60 images of the folders 2023 and 2024, the centred square" in splits.note
    undecoded = load_several(tmp_path, "2023", "2024", image_size=24, cache_gib=0)
    np.testing.assert_array_equal(undecoded.test.images[:], splits.test.images[:])


def test_a_folder_that_was_scanned_alone_is_not_scanned_again(tmp_path, monkeypatch):
    for number, name in enumerate("ab"):
        classes_in(tmp_path, name, 20 * number)
        load_several(tmp_path, name)
    monkeypatch.setattr(scan, "inspect_file", None)
    splits = load_several(tmp_path, "a", "b")
    assert len(splits.train) + len(splits.test) == 40


def test_each_of_several_folders_has_its_own_splits(tmp_path):
    for first, name in enumerate("ab"):
        for second, split in enumerate(("train", "test")):
            for third, label in enumerate(("cat", "dog")):
                number = 100 * first + 50 * second + 10 * third
                classes_in(tmp_path, f"{name}/{split}/{label}", number, 6)
    splits = load_several(tmp_path, "a", "b", labels="folders")
    assert splits.label_names == ("cat", "dog")
    assert {name[:6] for name in splits.test.images.names} == {"a/test", "b/test"}
    assert (len(splits.train), len(splits.test)) == (24, 24)
    assert "by the folders: a/test and b/test for the test" in splits.note


def test_rows_name_images_of_several_folders(tmp_path):
    for number, name in enumerate("ab"):
        tree(tmp_path / name, 1)
        classes_in(tmp_path, name, 100 * number + 1, 20)
    lines = ["file,label", "a/001,x", "002.png,x", *(f"{n},y" for n in range(101, 121))]
    lines += [f"{n:03d},y" for n in range(3, 21)]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    splits = load_several(tmp_path, "a", "b", labels=str(tmp_path / "labels.csv"))
    labels = labels_by_name(splits.labelled, splits.test)
    assert {name for name, label in labels.items() if label == 0} == {"a/001.png", "a/002.png"}
    assert len(labels) == 40
    (tmp_path / "labels.csv").write_text("\n".join([*lines, "000.png,x"]))
    with pytest.raises(InputError, match=r"'000.png', .* 2 images, as a/000.png and b/000.png"):
        load_several(tmp_path, "a", "b", labels=str(tmp_path / "labels.csv"))


def test_data_json_has_the_counts_of_several_folders(tmp_path):
    tree(tmp_path / "a", 20)
    tree(tmp_path / "b", 25)
    report = load_several(tmp_path, "a", "b").report
    report.write(tmp_path)
    summary = json.loads((tmp_path / "data.json").read_text())
    assert (summary["images"], summary["duplicates"]) == (25, 20)
    assert "b/000.png\tsame as a/000.png\n" in (tmp_path / "bad_images.txt").read_text()
