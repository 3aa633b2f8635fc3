"""Who holds what: one process at a time, the living only."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dim_tf.tables import claims
from dim_tf.tables.claims import ClaimLost, Claims


def test_what_is_held_is_not_taken_and_what_is_released_is(tmp_path):
    first = Claims(tmp_path).take("row.1")
    assert first is not None
    assert Claims(tmp_path).take("row.1") is None
    assert Claims(tmp_path).is_held("row.1")
    first.release()
    assert not Claims(tmp_path).is_held("row.1")
    assert Claims(tmp_path).take("row.1") is not None


def test_of_many_at_once_one_takes_it(tmp_path):
    names = [f"row{n}" for n in range(20)]
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda name: Claims(tmp_path).take(name), 8 * names))
    assert sum(claim is not None for claim in taken) == len(names)


def test_two_that_see_nothing_do_not_both_take_it(tmp_path, monkeypatch):
    monkeypatch.setattr(Claims, "_last", lambda self, name: 0)
    assert Claims(tmp_path).take("row") is not None
    assert Claims(tmp_path).take("row") is None


def test_it_is_held_while_a_process_of_the_holder_lives(tmp_path):
    claim = Claims(tmp_path).take("row")
    code = "import sys; sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", code],
        stdin=subprocess.PIPE,
        pass_fds=[claim.descriptor],
    )
    os.close(claim.descriptor)  # as if this process were killed
    assert Claims(tmp_path).take("row") is None
    child.kill()
    child.communicate()
    assert Claims(tmp_path).take("row") is not None


def of_another_machine(folder, seconds_ago):
    path = folder / "row.claim1"
    path.write_text(json.dumps({"machine": "another", "host": "far", "process": 1}))
    then = time.time() - seconds_ago
    os.utime(path, (then, then))


@pytest.mark.parametrize(("seconds_ago", "taken"), [(30, False), (700, True)])
def test_another_machines_is_taken_over_when_it_is_stale(tmp_path, seconds_ago, taken):
    of_another_machine(tmp_path, seconds_ago)
    assert (Claims(tmp_path).take("row") is not None) == taken


def test_a_holder_that_lost_its_claim_learns_it(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.0)
    claim = Claims(tmp_path).take("row")
    assert claim.beat()
    of_another_machine(tmp_path, 700)  # so it looks from elsewhere
    other = Claims(tmp_path).take("row")
    assert other is not None
    with pytest.raises(ClaimLost):
        claim.beat()
    claim.release()
    assert Claims(tmp_path).is_held("row")  # by the other one


def test_a_beat_makes_it_new(tmp_path, monkeypatch):
    claim = Claims(tmp_path).take("row")
    assert not claim.beat()  # not yet time to
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.0)
    os.utime(tmp_path / "row.claim1", (0, 0))
    claim.beat()
    assert time.time() - (tmp_path / "row.claim1").stat().st_mtime < 60


def test_an_empty_file_of_a_killed_process_is_free(tmp_path):
    """A claim is whole when it appears, so nobody is about to write it."""
    (tmp_path / "row.claim1").touch()
    assert Claims(tmp_path).take("row") is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["row.claim1", "row.claim2"]


def test_where_the_file_system_has_no_hard_links(tmp_path, monkeypatch):
    def link(*_):
        raise PermissionError

    monkeypatch.setattr(os, "link", link)
    claim = Claims(tmp_path).take("row")
    assert claim is not None
    assert Claims(tmp_path).take("row") is None
    monkeypatch.setattr(Claims, "_last", lambda self, name: 0)
    assert Claims(tmp_path).take("row") is None
    assert [path.name for path in tmp_path.iterdir()] == ["row.claim1"]
