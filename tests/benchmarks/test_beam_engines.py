"""DaskRunner with two worker processes, of which one is killed: each id once, the same features."""

import pytest
import small_export

pytest.importorskip("apache_beam")
pytest.importorskip("distributed")

import beam_engines


@pytest.mark.slow
def test_a_worker_is_killed(tmp_path, capsys):
    small_export.save(tmp_path / "1")
    flags = [f"--encoder_path={tmp_path / '1'}", "--engine=dask", "--images=120", "--side=8"]
    runs = beam_engines.main([*flags, "--kill", "--workers"])
    (_, _, reference, _), (_, workers, killed, difference) = runs
    assert workers == 2
    assert killed.killed
    assert killed.statuses == [0]  # the other worker does the rest
    assert len(set(killed.ids)) == len(reference.ids) == 120
    assert killed.ids == reference.ids
    assert difference < 1e-4
    assert "dask" in capsys.readouterr().out
