"""Leases: held by one process at a time, and only while it lives."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dim_tf.tables import leases
from dim_tf.tables.leases import LeaseFolder, LeaseLost


def test_a_held_lease_is_not_acquired_and_a_released_one_is(tmp_path):
    first = LeaseFolder(tmp_path).acquire("row.1")
    assert first is not None
    assert LeaseFolder(tmp_path).acquire("row.1") is None
    assert LeaseFolder(tmp_path).is_held("row.1")
    first.release()
    assert not LeaseFolder(tmp_path).is_held("row.1")
    assert LeaseFolder(tmp_path).acquire("row.1") is not None


def test_of_many_at_once_one_acquires_it(tmp_path):
    names = [f"row{n}" for n in range(20)]
    with ThreadPoolExecutor(8) as pool:
        acquired = list(pool.map(lambda name: LeaseFolder(tmp_path).acquire(name), 8 * names))
    assert sum(lease is not None for lease in acquired) == len(names)


def test_two_that_see_no_lease_do_not_both_acquire_it(tmp_path, monkeypatch):
    monkeypatch.setattr(LeaseFolder, "_last_generation", lambda self, name: 0)
    assert LeaseFolder(tmp_path).acquire("row") is not None
    assert LeaseFolder(tmp_path).acquire("row") is None


def test_it_is_held_while_a_process_of_the_holder_lives(tmp_path):
    lease = LeaseFolder(tmp_path).acquire("row")
    code = "import sys; sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", code],
        stdin=subprocess.PIPE,
        pass_fds=[lease.descriptor],
    )
    os.close(lease.descriptor)  # as if this process were killed
    assert LeaseFolder(tmp_path).acquire("row") is None
    child.kill()
    child.communicate()
    assert LeaseFolder(tmp_path).acquire("row") is not None


def write_lease_of_another_host(folder, seconds_ago):
    path = folder / "row.lease1"
    path.write_text(json.dumps({"machine": "another", "host": "far", "process": 1}))
    then = time.time() - seconds_ago
    os.utime(path, (then, then))


@pytest.mark.parametrize(("seconds_ago", "acquired"), [(30, False), (700, True)])
def test_another_machines_lease_is_taken_over_when_it_has_expired(tmp_path, seconds_ago, acquired):
    write_lease_of_another_host(tmp_path, seconds_ago)
    assert (LeaseFolder(tmp_path).acquire("row") is not None) == acquired


def test_a_holder_learns_that_its_lease_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "RENEWAL_SECONDS", 0.0)
    lease = LeaseFolder(tmp_path).acquire("row")
    assert lease.renew()
    write_lease_of_another_host(tmp_path, 700)  # so it looks from elsewhere
    other = LeaseFolder(tmp_path).acquire("row")
    assert other is not None
    with pytest.raises(LeaseLost):
        lease.renew()
    lease.release()
    assert LeaseFolder(tmp_path).is_held("row")  # by the other one


def test_renewing_updates_the_time(tmp_path, monkeypatch):
    lease = LeaseFolder(tmp_path).acquire("row")
    assert not lease.renew()  # not yet time to
    monkeypatch.setattr(leases, "RENEWAL_SECONDS", 0.0)
    os.utime(tmp_path / "row.lease1", (0, 0))
    lease.renew()
    assert time.time() - (tmp_path / "row.lease1").stat().st_mtime < 60


def test_an_empty_file_of_a_killed_process_is_free(tmp_path):
    """A lease is complete when it appears, so nobody is about to write it."""
    (tmp_path / "row.lease1").touch()
    assert LeaseFolder(tmp_path).acquire("row") is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["row.lease1", "row.lease2"]


def test_a_file_system_without_hard_links_works(tmp_path, monkeypatch):
    def link(*_):
        raise PermissionError

    monkeypatch.setattr(os, "link", link)
    lease = LeaseFolder(tmp_path).acquire("row")
    assert lease is not None
    assert LeaseFolder(tmp_path).acquire("row") is None
    monkeypatch.setattr(LeaseFolder, "_last_generation", lambda self, name: 0)
    assert LeaseFolder(tmp_path).acquire("row") is None
    assert [path.name for path in tmp_path.iterdir()] == ["row.lease1"]
