"""Folders for Hugging Face and Kaggle: the files, the metadata, and what is refused."""

import json
import shlex
import stat

import fake_version
import pytest
import yaml

from dim_tf.export import hubs, verify


@pytest.fixture
def version(tmp_path):
    return fake_version.write(tmp_path / "exported" / "photos" / "3")


def run(version, folder, owner="ada"):
    return hubs.main([f"--owner={owner}", str(version), str(folder)])


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def names(folder):
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in paths)


MODEL_FILES = [
    "README.md",
    "SHA256SUMS",
    "assets/metadata.json",
    "saved_model.pb",
    "variables/variables.index",
]


def test_hugging_face_gets_the_card_with_front_matter(version, tmp_path):
    assert run(version, tmp_path / "upload") == 0
    folder = tmp_path / "upload" / "huggingface"
    assert names(folder) == MODEL_FILES
    assert not verify.differences(folder)
    _, front, card = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert card == "\n" + fake_version.CARD
    assert yaml.safe_load(front) == {
        "license": "cc-by-4.0",
        "library_name": "dim_tf",
        "pipeline_tag": "image-feature-extraction",
        "tags": ["tensorflow", "saved-model", "deep-infomax", "self-supervised-learning"],
    }


def test_kaggle_gets_a_model_and_its_variation(version, tmp_path):
    assert run(version, tmp_path / "upload") == 0
    folder = tmp_path / "upload" / "kaggle"
    assert sorted(path.name for path in folder.iterdir()) == [
        "SHA256SUMS",
        "model-metadata.json",
        "tensorFlow2",
    ]
    model = read_json(folder / "model-metadata.json")
    assert model["ownerSlug"] == "ada"
    assert model["slug"] == "k-fer-photos"
    assert model["title"] == "Käfer photos"
    assert model["description"] == fake_version.CARD
    assert model["isPrivate"] is True
    files = folder / "tensorFlow2"
    assert names(files) == sorted([*MODEL_FILES, "model-instance-metadata.json"])
    variation = read_json(files / "model-instance-metadata.json")
    assert variation["ownerSlug"] == "ada"
    assert variation["modelSlug"] == model["slug"]
    assert variation["framework"] == "tensorFlow2"
    assert variation["licenseName"] == "Attribution 4.0 International (CC BY 4.0)"
    assert variation["trainingData"] == ['Photos of "beetles".']
    assert verify.differences(files).by_kind() == {
        "missing": (),
        "changed": (),
        "extra": ("model-instance-metadata.json",),
    }


def test_no_required_text_is_empty(version, tmp_path):
    run(version, tmp_path / "upload")
    required = {
        "model-metadata.json": ("ownerSlug", "title", "slug", "subtitle", "description"),
        "tensorFlow2/model-instance-metadata.json": (
            *("ownerSlug", "modelSlug", "instanceSlug", "framework"),
            *("overview", "usage", "licenseName"),
        ),
    }
    for name, keys in required.items():
        content = read_json(tmp_path / "upload" / "kaggle" / name)
        assert all(content[key] for key in keys)


def test_the_commands_are_printed(version, tmp_path, capsys):
    folder = tmp_path / "with space"
    run(version, folder)
    hugging_face, kaggle = capsys.readouterr().out.splitlines()
    upload = ["hf", "upload", "ada/k-fer-photos", str(folder / "huggingface"), "."]
    assert shlex.split(hugging_face) == upload
    create, _, variation = kaggle.partition(" && ")
    assert shlex.split(create) == ["kaggle", "models", "create", "-p", str(folder / "kaggle")]
    assert shlex.split(variation)[-2:] == [str(folder / "kaggle/tensorFlow2"), "--dir-mode=tar"]


def test_a_classifier_has_the_task_of_one(tmp_path):
    version = fake_version.write(tmp_path / "1", "dogs", "GPL-3.0-only", "probabilities")
    assert run(version, tmp_path / "upload") == 0
    text = (tmp_path / "upload" / "huggingface" / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["pipeline_tag"] == "image-classification"
    assert front["license"] == "gpl-3.0"
    # Kaggle wants five characters.
    assert read_json(tmp_path / "upload/kaggle/model-metadata.json")["title"] == "dogs classifier"


def test_a_second_call_replaces_the_first(version, tmp_path):
    run(version, tmp_path / "upload")
    assert run(version, tmp_path / "upload", "bob") == 0
    assert sorted(path.name for path in (tmp_path / "upload").iterdir()) == [
        "huggingface",
        "kaggle",
    ]
    assert read_json(tmp_path / "upload/kaggle/model-metadata.json")["ownerSlug"] == "bob"


@pytest.mark.parametrize("name", ["huggingface/own.txt", "kaggle/.git/HEAD"])
def test_folders_with_other_files_are_not_replaced(name, version, tmp_path, capsys):
    run(version, tmp_path / "upload")
    own = tmp_path / "upload" / name
    own.parent.mkdir(exist_ok=True)
    own.touch()
    before = {path: path.stat().st_ino for path in (tmp_path / "upload").rglob("*")}
    assert run(version, tmp_path / "upload", "bob") == 2
    assert "is not what this command wrote, and is not replaced" in capsys.readouterr().err
    assert {path: path.stat().st_ino for path in (tmp_path / "upload").rglob("*")} == before


@pytest.mark.parametrize(
    ("license", "message"),
    [
        ("", "states none; a hub needs one: export again with --license, of Apache-2.0"),
        ("Beerware", "states the licence 'Beerware', which Kaggle does not have; a hub needs"),
    ],
)
def test_a_licence_that_a_hub_does_not_have_is_refused(license, message, tmp_path, capsys):
    version = fake_version.write(tmp_path / "1", license=license)
    assert run(version, tmp_path / "upload") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "upload").exists()


def test_a_copy_of_a_read_only_version_can_be_written(version, tmp_path):
    for path in (*version.rglob("*"), version):
        path.chmod(path.stat().st_mode & ~0o222)
    assert run(version, tmp_path / "upload") == 0
    copies = [path for path in (tmp_path / "upload").rglob("*")]
    assert {path.name for path in copies} >= {"saved_model.pb", "variables", "variables.index"}
    assert all(path.stat().st_mode & stat.S_IWUSR for path in copies)
    assert run(version, tmp_path / "upload", "bob") == 0


def test_files_that_are_links_are_copied(version, tmp_path):
    """As in the caches of tools that keep large files elsewhere."""
    (version / "saved_model.pb").rename(tmp_path / "large")
    (version / "saved_model.pb").symlink_to(tmp_path / "large")
    assert run(version, tmp_path / "upload") == 0
    copy = tmp_path / "upload" / "huggingface" / "saved_model.pb"
    assert copy.read_bytes() == b"graph"
    assert not copy.is_symlink()


@pytest.mark.parametrize("changed", [{"signatures": None}, {"training_data": 3}, {"license": []}])
def test_metadata_without_what_a_hub_needs_is_refused(changed, tmp_path, capsys):
    version = fake_version.write(tmp_path / "1")
    file = version / "assets" / "metadata.json"
    file.write_text(json.dumps(read_json(file) | changed), encoding="utf-8")
    verify.write_sums(version)
    assert run(version, tmp_path / "upload") == 2
    (name,) = changed
    assert f"metadata.json has no {name!r}, as dim_tf writes it" in capsys.readouterr().err


def test_a_card_that_is_no_text_is_refused(version, tmp_path, capsys):
    (version / "README.md").write_bytes(b"\xff")
    verify.write_sums(version)
    assert run(version, tmp_path / "upload") == 2
    assert "README.md cannot be read ('utf-8' codec" in capsys.readouterr().err


def test_wrong_input_ends_with_2(version, tmp_path, capsys):
    assert run(version, tmp_path / "upload", "ada lovelace") == 2
    assert "--owner='ada lovelace' is no name of a user" in capsys.readouterr().err
    (version / "saved_model.pb").write_bytes(b"changed")
    assert run(version, tmp_path / "upload") == 2
    assert "is not as it was exported (changed: saved_model.pb); export" in capsys.readouterr().err
    assert run(tmp_path / "none", tmp_path / "upload") == 2
    assert "none has no saved_model.pb, so it is no version" in capsys.readouterr().err
    detector = fake_version.write(tmp_path / "detector", anomaly={})
    assert run(detector, tmp_path / "upload") == 2
    assert "is a detector of anomalies; give an encoder or a classifier" in capsys.readouterr().err
    encoder = fake_version.write(tmp_path / "encoder")
    assert run(encoder, encoder / "upload") == 2
    assert "give one elsewhere" in capsys.readouterr().err
