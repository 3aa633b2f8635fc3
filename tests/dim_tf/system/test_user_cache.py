"""Where the user's cache is."""

from pathlib import Path

from dim_tf.system import user_cache


def test_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache.folder() == tmp_path / "dim_tf"
    assert user_cache.folder("~/images") == Path.home() / "images"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert user_cache.folder() == tmp_path / "me/.cache/dim_tf"
