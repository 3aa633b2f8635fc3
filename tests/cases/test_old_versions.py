"""An export removes old versions whatever lies in the folder, and says so where it cannot."""

import os
from pathlib import Path

import pytest

from dim_tf.export import publish, version_folders
from dim_tf.export.version_folders import published_versions
from dim_tf.system.errors import RunError


@pytest.fixture(autouse=True)
def no_grace(monkeypatch):
    monkeypatch.setattr(version_folders, "GRACE_SECONDS", 0)


def make(folder, *versions):
    for version in versions:
        (folder / version / "variables").mkdir(parents=True)


def names(folder):
    return sorted(child.name for child in folder.iterdir())


def test_a_version_1_again_after_a_killed_removal(tmp_path):
    """Numbers begin anew after all versions were removed."""
    make(tmp_path, ".removed-1", "1", "2")
    version_folders.remove_old_versions(tmp_path, 1)
    assert names(tmp_path) == ["2"]


def test_a_version_1_again_where_the_first_cannot_be_removed(tmp_path, monkeypatch):
    """As one whose files are of another user."""
    make(tmp_path, ".removed-1", "1", "2")
    monkeypatch.setattr(version_folders.shutil, "rmtree", lambda *_, **__: None)
    version_folders.remove_old_versions(tmp_path, 1)
    assert published_versions(tmp_path) == [2]
    assert len(names(tmp_path)) == 3


def test_a_file_of_that_name(tmp_path):
    make(tmp_path, "1", "2")
    (tmp_path / ".removed-1").write_text("")
    version_folders.remove_old_versions(tmp_path, 1)
    assert names(tmp_path) == ["2"]


def test_a_file_with_a_version_for_a_name(tmp_path):
    make(tmp_path, "2", "3", ".removed-1")
    (tmp_path / "1").write_text("")
    version_folders.remove_old_versions(tmp_path, 1)
    assert names(tmp_path) == ["3"]


def test_a_link_goes_and_what_it_names_stays(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    make(elsewhere, "kept")
    folder = tmp_path / "small"
    make(folder, "2")
    (folder / "1").symlink_to(elsewhere)
    (folder / ".removed-0").symlink_to(elsewhere)
    version_folders.remove_old_versions(folder, 1)
    assert names(folder) == ["2"]
    assert names(elsewhere) == ["kept"]


def test_a_version_that_cannot_be_removed_is_named_after_the_export(tmp_path, monkeypatch):
    """Others are removed; the export is there and served."""
    monkeypatch.setattr(publish, "_write_version", lambda *_: 0.0)
    folder = tmp_path / "small"
    make(folder, "1", "2", "3")
    rename = os.rename

    def refuse(source, target):
        if Path(source) == folder / "1":
            raise PermissionError(13, "Permission denied", str(source))
        rename(source, target)

    monkeypatch.setattr(version_folders.os, "rename", refuse)

    class Encoder:
        image_shape = (8, 8, 3)

    options = publish.ExportOptions(keep_versions=1)
    with pytest.raises(RunError) as error:
        publish.publish(Encoder(), folder, None, options=options)
    assert str(error.value) == (
        f"{folder}/4 is published; {folder}/1, which is older than the newest 1 of "
        "--keep_versions, could not be removed: Permission denied; remove it by hand"
    )
    assert published_versions(folder) == [1, 4]
    assert '"small"' in (tmp_path / "serving/models.config").read_text()
