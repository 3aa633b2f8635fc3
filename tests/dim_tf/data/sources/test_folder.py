"""A folder of anyone's images as a data set."""

import itertools
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from sample_images import pixels, save, tree

from dim_tf import data
from dim_tf.data import pipeline
from dim_tf.data.folder import decoding, scan
from dim_tf.data.folder.decoded_cache import GIB
from dim_tf.data.image_faults import Fault
from dim_tf.data.sources import folder
from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError, RunError
from dim_tf.training import loop, run_folder
from dim_tf.training.model import load_trained


@pytest.fixture
def load(tmp_path):
    """Loads tmp_path/images, with its cache in tmp_path and its report in tmp_path/run."""
    (tmp_path / "run").mkdir()

    def of(**settings):
        request = data.DataRequest(
            data_dir=str(tmp_path / "images"),
            cache_dir=str(tmp_path / "cache"),
            **settings,
        )
        splits = data.load("folder", request)
        splits.report.write(tmp_path / "run")
        return splits

    return of


def summary(tmp_path):
    return json.loads((tmp_path / "run/data.json").read_text())


def bad_lines(tmp_path):
    text = (tmp_path / "run/bad_images.txt").read_text(encoding="utf-8")
    return dict(line.split("\t") for line in text.splitlines())


def contents(images):
    return {image.tobytes() for image in images[:]}


def test_a_flat_folder(tmp_path, load):
    tree(tmp_path / "images", 40)
    splits = load()
    assert splits.image_shape == (32, 32, 3)  # of 24x24 pixels
    assert splits.train.labels is None
    assert splits.test.labels is None
    assert splits.label_names == ()
    assert (len(splits.train), len(splits.test)) == (30, 10)
    assert len(contents(splits.train.images) | contents(splits.test.images)) == 40
    assert "40 images of the folder images" in splits.note
    assert "labels: none: some images are in no folder." in splits.note
    report = summary(tmp_path)
    assert report["images"] == report["formats"]["PNG"] == 40
    assert report["pixels"]["width"] == {"min": 24, "median": 24, "max": 24}
    assert bad_lines(tmp_path) == {}


def test_folders_are_classes(tmp_path, load):
    tree(tmp_path / "images" / "cats", 30)
    for number in range(30, 50):
        save(tmp_path / "images" / "dogs ä" / f"{number}.jpg", number)
    splits = load()
    assert splits.label_names == ("cats", "dogs ä")
    counts = np.bincount(np.concatenate([splits.train.labels, splits.test.labels]))
    assert list(counts) == [30, 20]
    assert summary(tmp_path)["classes"] == {"cats": 30, "dogs ä": 20}
    of_train = dict(zip(splits.train.images.names, splits.train.labels, strict=True))
    assert all((label == 0) == name.startswith("cats/") for name, label in of_train.items())
    assert load(labels="none").train.labels is None


def test_more_images_move_none(tmp_path, load):
    tree(tmp_path / "images", 40)
    first = load()
    before = contents(first.train.images), contents(first.test.images)
    for number in range(40, 130):
        save(tmp_path / "images" / "more" / f"{number}.png", number)
    shutil.move(tmp_path / "images" / "003.png", tmp_path / "images" / "renamed.png")
    after = load()
    assert before[0] <= contents(after.train.images)
    # Of very few images some become training images, and none the other way.
    assert not before[0] & contents(after.test.images)


def test_train_and_test_share_no_image(tmp_path, load):
    tree(tmp_path / "images", 30, "a/{}.png")
    shutil.copytree(tmp_path / "images/a", tmp_path / "images/b")
    splits = load()
    assert len(splits.train) + len(splits.test) == 30
    assert summary(tmp_path)["duplicates"] == 30
    assert bad_lines(tmp_path)["b/7.png"] == "same as a/7.png"


def broken_folder(images, good=152):
    """Eight broken files, of as many kinds, among good ones."""
    tree(images, good)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    whole = save(images / "bad/cut.jpg", image=noise).read_bytes()
    (images / "bad/cut.jpg").write_bytes(whole[: len(whole) // 2])
    whole = save(images / "bad/cut.png", image=noise).read_bytes()
    (images / "bad/cut.png").write_bytes(whole[: len(whole) // 2])
    (images / "bad/flipped.png").write_bytes(whole[:300] + b"\xff" * 40 + whole[340:])
    (images / "bad/empty.jpg").write_bytes(b"")
    (images / "bad/text.webp").write_bytes(b"words")
    save(images / "bad/bomb.png", image=Image.new("1", (20_000, 20_000)))
    save(images / "bad/float.tif", image=Image.fromarray(np.ones((16, 16), np.float32)))
    (images / "bad/gone.png").symlink_to(images / "nowhere")
    save(images / "tiny.gif", image=Image.new("L", (3, 3)))
    (images / "notes.nef").write_bytes(b"raw")


def test_bad_images_are_left_out_and_listed(tmp_path, load):
    broken_folder(tmp_path / "images")
    splits = load()
    assert len(splits.train) + len(splits.test) == 152
    bad = bad_lines(tmp_path)
    assert {name: why for name, why in bad.items() if name.startswith("bad/")} == {
        "bad/bomb.png": Fault.TOO_MANY_PIXELS.description,
        "bad/cut.jpg": "broken or cut off",
        "bad/cut.png": "broken or cut off",
        "bad/empty.jpg": "empty file",
        "bad/flipped.png": "broken or cut off",
        "bad/float.tif": Fault.OTHER_KIND.description,
        "bad/gone.png": "cannot be opened",
        "bad/text.webp": "not an image",
    }
    assert bad["tiny.gif"].startswith("tiny")
    report = summary(tmp_path)
    assert sum(report["unreadable"].values()) == 8
    assert report["other_files"] == {".nef": 1}
    assert "left out: 8 unreadable, 1 tiny." in splits.note


def test_too_many_bad_images_are_an_error_that_names_the_list(tmp_path, load):
    broken_folder(tmp_path / "images", good=30)
    with pytest.raises(InputError) as caught:
        load()
    message = str(caught.value)
    listed = tmp_path / "cache/bad_images.txt"
    assert "8 of 39 image files" in message
    assert "--max_unreadable_fraction=0.05" in message
    assert f"{listed}: mend or remove them, or give a larger --max_unreadable_fraction" in message
    assert "\n" not in message
    assert len(listed.read_text().splitlines()) == 9
    assert list((tmp_path / "run").iterdir()) == []
    assert len(load(max_unreadable_fraction=0.3).train) == 20


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"data_dir": ""}, "needs --data_dir=PATH"),
        ({"data_dir": "no/such"}, "cannot be read"),
        ({"data_dir": "~nobody-there/x"}, "cannot be read"),
        ({"data_dir": __file__}, "is a file"),
    ],
)
def test_a_folder_that_is_none(settings, says):
    with pytest.raises(InputError, match=says):
        data.load("folder", data.DataRequest(**settings))


@pytest.mark.parametrize("group_by", ["auto", "folder", "(cat)"])
@pytest.mark.parametrize("count", [0, 3])
def test_too_few_images_are_too_few_in_any_groups(tmp_path, load, count, group_by):
    tree(tmp_path / "images", count)
    (tmp_path / "images").mkdir(exist_ok=True)
    with pytest.raises(InputError, match=f"has {count} different images; at least 20 are needed"):
        load(group_by=group_by)


def test_a_single_image_is_too_few(tmp_path, load):
    tree(tmp_path / "images", 1)
    with pytest.raises(InputError, match=r"has 1 different image; at least 20 are needed"):
        load()


def test_too_few_images(tmp_path, load):
    tree(tmp_path / "images", 19)
    (tmp_path / "images/a.nef").write_bytes(b"")
    with pytest.raises(InputError, match=r"has 19 different images; at least 20 .*also 1 .nef"):
        load()


def test_the_size_follows_the_images():
    def size(height, width):
        return folder.default_size(np.array([[width, height]]))

    assert [size(28, 28), size(47, 100), size(48, 100), size(3000, 2000)] == [32, 32, 64, 64]


def test_images_for_an_encoder_of_any_size_are_larger(tmp_path, load):
    for number in range(20):
        save(tmp_path / f"images/{number}.png", image=Image.fromarray(pixels(number, 100, 110)))
    assert load().image_shape == (64, 64, 3)
    assert load(any_size=True).image_shape == (128, 128, 3)


def test_pixels_are_those_of_the_files(tmp_path, load):
    tree(tmp_path / "images", 20)
    splits = load(image_size=24)  # the files' own
    for split in (splits.train, splits.test):
        for name, image in zip(split.images.names, split.images[:], strict=True):
            np.testing.assert_array_equal(image, pixels(int(name[:3])))


def test_images_that_do_not_fit_the_cache_are_the_same(tmp_path, load, capsys):
    tree(tmp_path / "images", 40)
    whole = load()
    some = load(cache_gib=25 * 32 * 32 * 3 / GIB)
    assert "25 of 40 decoded images fit into --cache_gib=" in capsys.readouterr().out
    none = load(cache_gib=0.0)
    assert (len(some.train.images.cached), len(none.train.images.cached)) == (15, 0)
    rows = np.array([29, 3, 16, 3])
    for other in (some, none):
        np.testing.assert_array_equal(whole.train.images[rows], other.train.images[rows])
        np.testing.assert_array_equal(whole.test.images[2:5], other.test.images[2:5])
        batches = [
            next(iter(pipeline.training_batches(s.train, 8, 3, 0, 5, "natural"))).numpy()
            for s in (whole, other)
        ]
        np.testing.assert_array_equal(*batches)


def test_a_second_load_decodes_nothing(tmp_path, load, monkeypatch):
    tree(tmp_path / "images", 30)
    first = load()
    monkeypatch.setattr(decoding, "decode_to_size", None)
    monkeypatch.setattr(scan, "inspect_file", None)
    again = load()
    np.testing.assert_array_equal(first.train.images[:], again.train.images[:])


def test_a_file_that_changes_while_it_is_used_is_reported(tmp_path, load):
    tree(tmp_path / "images", 30)
    splits = load(cache_gib=0.0)
    (tmp_path / "images" / splits.train.images.names[3]).write_bytes(b"")
    with pytest.raises(RunError, match="has changed while it was in use"):
        splits.train.images[np.arange(5)]
    assert len(load(max_unreadable_fraction=0.1).train) == 19


def test_a_run_whose_images_changed_says_so(tmp_path, load, capsys):
    tree(tmp_path / "images", 30)
    load()
    (tmp_path / "run/checkpoints").mkdir()
    load().report.check(tmp_path / "run")
    assert "not those that" not in capsys.readouterr().out
    before = summary(tmp_path)
    save(tmp_path / "images/new.png", 99)
    changed = load(image_size=32)
    (tmp_path / "run/data.json").write_text(json.dumps(before))
    changed.report.check(tmp_path / "run")
    assert "not those that the run in" in capsys.readouterr().out


def test_a_run_on_other_images_is_not_gone_on_with(tmp_path, load):
    """Nor measured; and what was refused has written nothing."""
    tree(tmp_path / "images", 20)
    settings = {"name": "a", "run_dir": str(tmp_path / "run"), "dataset": "folder", "batch_size": 4}
    experiment = Experiment.of(**settings)
    run_folder.prepare(experiment, load())
    (tmp_path / "run/checkpoints").mkdir()
    before = summary(tmp_path)
    shutil.rmtree(tmp_path / "images")
    for number in range(50, 80):
        save(tmp_path / "images" / f"{number}.png", number)
    request = data.DataRequest(str(tmp_path / "images"), cache_dir=str(tmp_path / "cache"))
    other_images = data.load("folder", request)
    for use in (loop.train, load_trained):
        with pytest.raises(InputError, match=r"on other images: of 20 .*--name .*--noresume"):
            use(experiment, other_images)
    assert summary(tmp_path) == before
    run_folder.prepare(Experiment.of(**settings, resume=False))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["experiment.json"]


def begun(folder, splits, **changes):
    """A run folder that began with these images, but for what `changes` says of data.json."""
    (folder / "checkpoints").mkdir(parents=True)
    splits.report.write(folder)
    report = json.loads((folder / "data.json").read_text())
    (folder / "data.json").write_text(json.dumps(report | changes))
    return folder


def test_a_run_of_an_earlier_version_is_not_gone_on_with(tmp_path, load):
    """Its test images were others."""
    tree(tmp_path / "images", 30)
    splits = load()
    run = begun(tmp_path / "begun", splits, split_of=None)
    with pytest.raises(InputError, match=r"of an earlier version, .*--noresume"):
        splits.report.check(run)


def test_a_run_of_another_split_is_not_gone_on_with(tmp_path, load):
    tree(tmp_path / "images", 30, "train/{}.png")
    run = begun(tmp_path / "begun", load())
    load().report.check(run)
    for number in range(50, 70):
        save(tmp_path / "images/test" / f"{number}.png", number)
    with pytest.raises(InputError, match=r"chosen by hash, and not by folders.*--split=hash"):
        load().report.check(run)
    load(split="hash").report.check(run)


def test_labels_need_images_to_learn_from(tmp_path, load):
    tree(tmp_path / "images", 12, "train/a/{}.png")
    for number in range(12, 40):
        where = "train/b" if number < 14 else "unlabeled"
        save(tmp_path / "images" / where / f"{number}.png", number)
    with pytest.raises(InputError, match=r"4 images for training that have a label, .*=none"):
        load(labels="folders")
    assert len(load().test) == 10


def test_classes_of_the_test_alone_are_none(tmp_path, load):
    for number in range(60):
        where = "train/a" if number < 20 else "train/b" if number < 40 else "test/c"
        save(tmp_path / "images" / where / f"{number}.png", number)
    splits = load()
    assert splits.label_names == ()
    assert "labels: none: of the class c there are test images and none for training" in splits.note
    with pytest.raises(InputError, match=r"--labels=folders: of the class c .*--split=hash"):
        load(labels="folders")


def test_an_epoch_of_batches(tmp_path, load):
    tree(tmp_path / "images", 30, "a/{}.png")
    for number in range(30, 60):
        save(tmp_path / "images/b" / f"{number}.png", number)
    splits = load(labels="folders", image_size=24, test_fraction=0.1)
    batches = pipeline.training_batches(splits.train, 10, 3, 0, 0, "none", with_labels=True)
    seen = []
    for images, labels, _ in itertools.islice(batches, 5):
        for image, label in zip(images.numpy(), labels.numpy(), strict=True):
            decoded = np.round((image + 1) / 2 * 255).astype(np.uint8)
            (number,) = (n for n in range(60) if np.array_equal(decoded, pixels(n)))
            assert label == (number >= 30)
            seen.append(number)
    assert len(set(seen)) == len(splits.train) == 50
