"""Folders for Hugging Face and Kaggle: the files, the metadata, and what is refused."""

import json
import shlex

import pytest
import yaml

from dim_tf.export import hubs, verify

CARD = "# Käfer photos\n\nAn image encoder.\n"


def write_version(
    folder, name="Käfer photos", license="CC-BY-4.0", signatures=("serving_default",)
):
    """The files of a version that the hubs' folders are made from."""
    (folder / "variables").mkdir(parents=True)
    (folder / "assets").mkdir()
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    metadata = {
        "name": name,
        "license": license,
        "training_data": 'Photos of "beetles".',
        "signatures": {signature: {} for signature in signatures},
    }
    (folder / "assets" / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    verify.write_sums(folder)
    (folder / ".hidden").touch()
    return folder


@pytest.fixture
def version(tmp_path):
    return write_version(tmp_path / "exported" / "photos" / "3")


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
    assert card == "\n" + CARD
    assert yaml.safe_load(front) == {
        "license": "cc-by-4.0",
        "library_name": "dim_tf",
        "pipeline_tag": "image-feature-extraction",
        "tags": ["tensorflow", "saved-model", "deep-infomax", "self-supervised-learning"],
    }


def test_kaggle_gets_a_model_and_its_variation(version, tmp_path):
    assert run(version, tmp_path / "upload") == 0
    folder = tmp_path / "upload" / "kaggle"
    assert sorted(path.name for path in folder.iterdir()) == ["model-metadata.json", "tensorFlow2"]
    model = read_json(folder / "model-metadata.json")
    assert model["ownerSlug"] == "ada"
    assert model["slug"] == "k-fer-photos"
    assert model["title"] == "Käfer photos"
    assert model["description"] == CARD
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


def test_no_text_is_to_be_replaced_by_hand(version, tmp_path):
    run(version, tmp_path / "upload")
    for name in ("model-metadata.json", "tensorFlow2/model-instance-metadata.json"):
        assert "INSERT" not in (tmp_path / "upload" / "kaggle" / name).read_text(encoding="utf-8")


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
    version = write_version(tmp_path / "1", "dogs", "GPL-3.0-only", ("probabilities",))
    assert run(version, tmp_path / "upload") == 0
    text = (tmp_path / "upload" / "huggingface" / "README.md").read_text(encoding="utf-8")
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["pipeline_tag"] == "image-classification"
    assert front["license"] == "gpl-3.0"
    # Kaggle wants five characters.
    assert read_json(tmp_path / "upload/kaggle/model-metadata.json")["title"] == "dogs classifier"


def test_a_second_call_replaces_the_first(version, tmp_path):
    run(version, tmp_path / "upload")
    (tmp_path / "upload" / "kaggle" / "old").touch()
    assert run(version, tmp_path / "upload", "bob") == 0
    assert sorted(path.name for path in (tmp_path / "upload").iterdir()) == [
        "huggingface",
        "kaggle",
    ]
    assert not (tmp_path / "upload" / "kaggle" / "old").exists()
    assert read_json(tmp_path / "upload/kaggle/model-metadata.json")["ownerSlug"] == "bob"


@pytest.mark.parametrize(
    ("license", "message"),
    [
        ("", "states none; a hub needs one: export again with --license, of Apache-2.0"),
        ("Beerware", "states the licence 'Beerware', which Kaggle does not have; a hub needs"),
    ],
)
def test_a_licence_that_a_hub_does_not_have_is_refused(license, message, tmp_path, capsys):
    version = write_version(tmp_path / "1", license=license)
    assert run(version, tmp_path / "upload") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "upload").exists()


def test_wrong_input_ends_with_2(version, tmp_path, capsys):
    assert run(version, tmp_path / "upload", "ada lovelace") == 2
    assert "--owner='ada lovelace' is no name of a user" in capsys.readouterr().err
    (version / "saved_model.pb").write_bytes(b"changed")
    assert run(version, tmp_path / "upload") == 2
    assert "is not as it was exported" in capsys.readouterr().err
    assert run(tmp_path / "none", tmp_path / "upload") == 2
    assert "the folder is no version of an exported encoder" in capsys.readouterr().err
