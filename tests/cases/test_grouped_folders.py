"""Folders of videos, bursts and copies: what belongs together is on one side of the split."""

import json

import numpy as np
import pytest
import sample_folders
from PIL import Image
from sample_folders import written_report
from sample_images import save, tree

from dim_tf import data
from dim_tf.data import validation_split
from dim_tf.experiment import Experiment
from dim_tf.run import Run
from dim_tf.system.errors import InputError


@pytest.fixture
def load(tmp_path):
    """Loads tmp_path/images."""
    return sample_folders.loader(tmp_path)


def frames(seed, count):
    """A scene of few colors, seen by a camera that moves; with noise."""
    rng = np.random.default_rng(seed)
    cells = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8))
    scene = cells.resize((64, 64), Image.Resampling.BICUBIC)
    for number in range(count):
        view = scene.crop((number, 0, number + 40, 40))
        noise = rng.normal(0, 4, (40, 40, 3))
        yield Image.fromarray(np.clip(view + noise, 0, 255).astype(np.uint8))


def videos(folder, count, name="video_{:02d}/frame_{:03d}.png", length=8):
    for video in range(count):
        for number, image in enumerate(frames(video, length)):
            save(folder / name.format(video, number), image=image)


def video_names(split, depth=0):
    return {name.split("/")[depth] for name in split.images.names}


def test_the_frames_of_a_video_stay_together(tmp_path, load):
    videos(tmp_path / "images", 20)
    splits = load()
    assert video_names(splits.train).isdisjoint(video_names(splits.test))
    report = written_report(splits, tmp_path / "run")
    assert (report["groups"], report["grouped_images"]) == (20, 160)
    assert report["largest_group"]["images"] == 8
    assert report["largest_group"]["first"].endswith("/frame_000.png")
    separated = report["separated_pairs_of_single_images"]
    assert separated > 50
    assert (
        "20 groups of near duplicates and numbered sequences kept together, the largest of 8 "
        f"images; a split of single images would have separated {separated} pairs of one group"
    ) in splits.note
    alone = load(group_by="none")
    near = written_report(alone, tmp_path / "run")["test_images_near_training"]
    assert near > 0.5 * len(alone.test)
    assert f"{near} test images have a near duplicate among the training images" in alone.note


def test_later_frames_of_a_video_follow_the_first(tmp_path, load):
    videos(tmp_path / "images", 40, length=3)
    before = load()
    videos(tmp_path / "images", 40)
    after = load()
    assert video_names(before.train) <= video_names(after.train)
    assert video_names(after.train).isdisjoint(video_names(after.test))
    assert len(after.train) + len(after.test) == 320


def test_resized_copies_stay_with_their_image(tmp_path, load):
    for seed in range(40):
        (image,) = frames(seed, 1)
        save(tmp_path / "images" / f"{seed * 7919 % 101}.png", image=image)
        save(tmp_path / "images" / "web" / f"ü{seed}.jpg", image=image.resize((30, 30)))
    splits = load(group_by="near_duplicates")
    report = written_report(splits, tmp_path / "run")
    assert (report["groups"], report["largest_group"]["images"]) == (40, 2)
    assert len(splits.test) % 2 == 0


def test_images_that_are_merely_numbered_are_not_grouped(tmp_path, load):
    for seed in range(40):
        (image,) = frames(seed, 1)
        save(tmp_path / "images" / f"IMG_{seed:04d}.png", image=image)
    splits = load()
    assert written_report(splits, tmp_path / "run")["groups"] == 0
    assert load(group_by="none").test.images.names == splits.test.images.names


def test_folders_of_splits_are_kept_and_their_near_duplicates_counted(tmp_path, load):
    videos(tmp_path / "images", 20, length=2, name="train/{:02d}_{:03d}.png")
    for seed in range(20):
        image = list(frames(seed if seed < 12 else 100 + seed, 3))[2]
        save(tmp_path / "images" / "test" / f"{seed}x.png", image=image)
    splits = load()
    assert video_names(splits.test) == {"test"}
    assert len(splits.test) == 20
    assert written_report(splits, tmp_path / "run")["test_images_near_training"] == 12
    assert "12 test images have a near duplicate among the training images" in splits.note
    with pytest.raises(InputError, match=r"--test_fraction=0\.3 is for a split by hash"):
        load(test_fraction=0.3)


def test_folders_that_are_classes_are_no_groups(tmp_path, load):
    videos(tmp_path / "images", 4, length=12, name="class_{:02d}/{:03d}.png")
    with pytest.raises(InputError) as caught:
        load(group_by="folder")
    message = str(caught.value)
    assert "48 images" in message
    assert "4 groups by the images' folders, the largest of 12" in message
    assert "since each class is one group; give --group_by=none" in message


def test_most_images_in_one_group(tmp_path, load):
    videos(tmp_path / "images", 1, length=24, name="{:02d}_{:03d}.png")
    with pytest.raises(InputError, match=r"the largest of 24 .*leaves 0 test images"):
        load()
    assert len(load(group_by="none").test) == 10
    for seed in range(1, 16):
        (image,) = frames(seed, 1)
        save(tmp_path / "images" / f"{'abcdefghijklmnop'[seed]}.png", image=image)
    splits = load()
    assert len(splits.test) == 10
    assert all(name[0].isalpha() for name in splits.test.images.names)
    assert "that group, of more than half of the images, is for training" in splits.note


def test_a_validation_split_keeps_groups_together_too(tmp_path, load):
    videos(tmp_path / "images", 20)
    held = validation_split.hold_out(load(), 0.25)
    names = [
        {part.images.images.names[index].split("/")[0] for index in part.images.indices}
        for part in (held.train, held.test)
    ]
    assert names[0].isdisjoint(names[1])
    assert len(held.test) % 8 == 0
    with pytest.raises(InputError, match="each group that stays together is larger"):
        validation_split.hold_out(load(), 0.04)


def test_no_test_images(tmp_path, load):
    for number, name in enumerate(("train/cat", "train/dog", "test/cat", "test/dog")):
        sample_folders.classes_in(tmp_path / "images", name, 20 * number)
    splits = load(test_fraction=0.0)
    assert len(splits.test) == 0
    assert len(splits.train) == written_report(splits, tmp_path / "run")["images"]
    assert any(name.startswith("test/") for name in splits.train.images.names)
    assert splits.label_names == ("cat", "dog")
    assert "all for training, none for the test, as --test_fraction=0 says" in splits.note
    assert len(splits.fingerprint) == 16
    with pytest.raises(InputError, match="give one of them"):
        load(test_fraction=0.0, split="folders")


def test_a_run_on_all_images_is_not_measured_on_some(tmp_path, load):
    tree(tmp_path / "images", 40)
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    for began, continued, message in (
        (0.0, 0.1, "was trained on all images"),
        (0.1, 0.0, "leave --test_fraction out"),
    ):
        splits = load(test_fraction=began)
        splits.report.write(run)
        splits.report.record_training_images(run)
        load(test_fraction=began).report.check(run)
        with pytest.raises(InputError, match=message):
            load(test_fraction=continued).report.check(run)
        (run / "trained_images.npy").unlink()


def test_a_run_of_single_images_is_not_measured_on_groups(tmp_path, load):
    videos(tmp_path / "images", 20)
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    splits = load(group_by="none")
    splits.report.write(run)
    splits.report.record_training_images(run)
    with pytest.raises(InputError, match="give that run's --group_by and --test_fraction"):
        load().report.check(run)


def test_other_data_sets_have_no_groups():
    for settings, named in (({"group_by": "none"}, "group_by=none"), ({"test_fraction": 0}, "0")):
        with pytest.raises(InputError, match=f"{named} takes effect with --dataset=folder only"):
            data.check_request("digits", data.DataRequest(**settings))


@pytest.mark.slow
def test_without_test_images_training_and_export_work_and_nothing_is_measured(tmp_path, capsys):
    tree(tmp_path / "images", 40)
    settings = {"batch_size": 8, "critic_units": 8, "latent_dim": 4, "augmentation": "none"}
    run = Run(
        Experiment.of(
            dataset="folder",
            data_dir=str(tmp_path / "images"),
            cache_dir=str(tmp_path / "cache"),
            run_dir=str(tmp_path / "run"),
            export_dir=str(tmp_path / "exported"),
            name="a",
            image_size=16,
            encoder="basic",
            steps=1,
            tflite="none",
            test_fraction=0.0,
            **settings,
        )
    )
    run.train()
    capsys.readouterr()
    assert run.evaluate() == {}
    lines = [line for line in capsys.readouterr().out.splitlines() if "evaluate:" in line]
    assert len(lines) == 1
    assert "nothing to measure" in lines[0]
    assert not (run.path / "evaluation.json").exists()
    card = run.export()
    assert (card / "saved_model.pb").exists()
    assert json.loads((run.path / "data.json").read_text())["test_images"] == 0
