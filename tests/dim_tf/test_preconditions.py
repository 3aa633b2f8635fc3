"""What the command line alone can get wrong, without TensorFlow."""

import pytest
from PIL import Image

from dim_tf import preconditions
from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError


def test_a_reference_must_be_there_before_training(tmp_path):
    (tmp_path / "a.keras").touch()
    experiment = Experiment.of(name="a", reference=f"{tmp_path}/a.keras")
    preconditions.check(experiment, ["train", "evaluate"])
    experiment = Experiment.of(name="a", reference=f"{tmp_path}/a.keras,b=nowhere")
    preconditions.check(experiment, ["train"])  # which measures nothing
    with pytest.raises(InputError, match=r"^--reference=nowhere is no SavedModel"):
        preconditions.check(experiment, ["train", "evaluate"])


@pytest.mark.parametrize("place", ["a.jpg", "cats/a.PNG"])
def test_a_folder_of_images_is_no_folder_of_another_data_set(tmp_path, place):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    Image.new("RGB", (8, 8)).save(tmp_path / place)
    for dataset in ("digits", "cifar10", "tfds:mnist"):
        experiment = Experiment.of(name="a", dataset=dataset, data_dir=str(tmp_path))
        with pytest.raises(InputError, match=f"holds images .*--dataset={dataset} does not read"):
            preconditions.check(experiment, ["train"])
    (tmp_path / "none").mkdir()
    experiment = Experiment.of(name="a", dataset="digits", data_dir=f"{tmp_path}/none,{tmp_path}")
    with pytest.raises(InputError, match=r"holds images .*--dataset=digits does not read"):
        preconditions.check(experiment, ["train"])
    for dataset in ("folder", "celeb_a", "tiny_imagenet", "tiny_imagenet_stl10"):
        experiment = Experiment.of(name="a", dataset=dataset, data_dir=str(tmp_path))
        preconditions.check(experiment, ["train"])


def test_a_file_of_labels_must_be_there(tmp_path):
    def check(labels):
        settings = {"dataset": "folder", "data_dir": str(tmp_path), "labels": labels}
        preconditions.check(Experiment.of(name="a", **settings), ["train"])

    for labels in ("folder", str(tmp_path / "none.csv"), str(tmp_path)):
        with pytest.raises(InputError, match=r"is no file; expected auto, none, folders, or the"):
            check(labels)
    (tmp_path / "labels.csv").write_text("file,label\n" + "a.png,cat\nb.png,dog\n" * 2)
    check(str(tmp_path / "labels.csv"))
    check("none")


@pytest.mark.parametrize("mode", ["train", "curate", "search"])
def test_the_column_of_labels_must_be_in_the_file(mode, tmp_path):
    (tmp_path / "labels.csv").write_text("file,kind\n" + "a.png,cat\nb.png,dog\n" * 2)

    def check(column):
        settings = {"data_dir": str(tmp_path), "labels": str(tmp_path / "labels.csv")}
        experiment = Experiment.of(name="a", dataset="folder", label_column=column, **settings)
        preconditions.check(experiment, [mode])

    if mode == "train":  # the others need an export, too
        check("kind")
    with pytest.raises(InputError, match=r"no column of labels .breed.; .* one or more of kind"):
        check("breed")


def test_each_of_several_folders_must_be_there(tmp_path):
    (tmp_path / "a").mkdir()
    experiment = Experiment.of(
        name="a", dataset="folder", data_dir=f"{tmp_path / 'a'},{tmp_path / 'b'}"
    )
    with pytest.raises(InputError, match=r"--data_dir=.*/b cannot be read"):
        preconditions.check(experiment, ["train"])


def test_a_data_sets_folder_may_lie_beside_images(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg")
    (tmp_path / "mnist").mkdir()
    for dataset in ("tfds:mnist", "tfds:mnist/a:1.0.0"):
        experiment = Experiment.of(name="a", dataset=dataset, data_dir=str(tmp_path))
        preconditions.check(experiment, ["train"])


def test_a_folder_of_other_files_may_be_a_data_sets(tmp_path):
    (tmp_path / "cifar10/3.0.2").mkdir(parents=True)
    (tmp_path / "cifar10/3.0.2/cifar10-train.tfrecord").touch()
    for data_dir in (tmp_path, tmp_path / "not there yet"):
        experiment = Experiment.of(name="a", dataset="cifar10", data_dir=str(data_dir))
        preconditions.check(experiment, ["train"])
