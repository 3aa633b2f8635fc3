"""Folders that systems make."""

import doctest

import pytest

from dim_tf.data.folder import system_folders


@pytest.mark.parametrize(
    "name", ["@eaDir", "SYSTEM VOLUME INFORMATION", ".Trash-1000", "found.003", ".git"]
)
def test_a_systems(name):
    assert system_folders.is_system_folder(name)


@pytest.mark.parametrize("name", ["@EADIR", "LOST+FOUND", "eaDir", "found", "FOUND.0001", "trash"])
def test_somebodys_own(name):
    assert not system_folders.is_system_folder(name)


def test_its_examples():
    assert doctest.testmod(system_folders).failed == 0
