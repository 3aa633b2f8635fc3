"""Encoders by name: the index, archives, the cache, and what is refused."""

import concurrent.futures
import functools
import gzip
import hashlib
import http.server
import io
import json
import os
import tarfile
import threading
from pathlib import Path

import fake_version
import numpy as np
import pytest
import requests

import dim_tf
from dim_tf.export import verify
from dim_tf.system.errors import InputError
from dim_tf.system.files import remove_temporary_files, temporary_path
from dim_tf.zoo import __main__ as command
from dim_tf.zoo import archives, index
from dim_tf.zoo.add import add
from dim_tf.zoo.index import Zoo
from dim_tf.zoo.resolve import resolve

ROOT = Path(dim_tf.__file__).parents[1]


@pytest.fixture
def version(tmp_path):
    return fake_version.write(tmp_path / "exported" / "digits" / "2")


@pytest.fixture
def zoo(version, tmp_path, monkeypatch):
    """A zoo of one encoder, and a cache of its own."""
    folder = tmp_path / "zoo"
    add(version, folder)
    monkeypatch.setenv("DIM_TF_ZOO", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def server(zoo, monkeypatch):
    """The zoo on a server; the paths of all requests."""
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *arguments):
            requests.append(self.path)

    handler = functools.partial(Handler, directory=str(zoo))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        monkeypatch.setenv("DIM_TF_ZOO", f"http://127.0.0.1:{running.server_port}/")
        yield requests
        running.shutdown()
        thread.join()


def files(folder):
    """The content of its files, but for hidden ones, by their paths."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def cached(tmp_path):
    folder = tmp_path / "cache" / "dim_tf" / "zoo"
    return sorted(path.name for path in folder.glob("*") if path.name not in (".lock", "indexes"))


def archive_in(zoo):
    (archive,) = zoo.glob("digits-2-*.tar.gz")
    return archive


def rewrite(zoo, **fields):
    content = json.loads((zoo / "zoo.json").read_text(encoding="utf-8"))
    content["models"]["digits"].update(fields)
    (zoo / "zoo.json").write_text(json.dumps(content), encoding="utf-8")


def test_an_archive_is_unpacked_once(zoo, version, tmp_path):
    path = resolve("zoo:digits")
    assert files(path) == files(version)
    assert path.parent == tmp_path / "cache" / "dim_tf" / "zoo"
    assert cached(tmp_path) == [path.name]
    archive_in(zoo).unlink()
    assert resolve("digits") == path


def test_a_server_is_asked_for_an_archive_once(server, zoo, version):
    assert files(resolve("zoo:digits")) == files(version)
    resolve("zoo:digits")
    assert server == ["/zoo.json", f"/{archive_in(zoo).name}", "/zoo.json"]


def test_without_a_network_the_last_index_is_used(server, zoo, version, monkeypatch, capsys):
    path = resolve("digits")

    def fails(*arguments, **settings):
        raise requests.ConnectionError("no network")

    monkeypatch.setattr(requests, "get", fails)
    assert resolve("digits") == path
    assert "(no network); check DIM_TF_ZOO and the network; the index of" in capsys.readouterr().out
    assert command.main(["path", "digits"]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    monkeypatch.setenv("DIM_TF_ZOO", "http://other/")
    with pytest.raises(InputError, match="cannot be downloaded"):
        resolve("digits")


def test_an_index_that_is_kept_is_not_written_again(server, zoo, tmp_path):
    """So that a cache that is filled may be read-only."""
    resolve("digits")
    (kept,) = (tmp_path / "cache" / "dim_tf" / "zoo" / "indexes").glob("*-zoo.json")
    written = kept.stat().st_ino
    resolve("digits")
    assert kept.stat().st_ino == written
    kept.write_text("{}", encoding="utf-8")
    resolve("digits")
    assert kept.read_bytes() == (zoo / "zoo.json").read_bytes()


def test_what_an_interrupted_download_left_is_removed(zoo, tmp_path):
    left = temporary_path(tmp_path / "cache" / "dim_tf" / "zoo" / "digits.tar.gz")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    resolve("digits")
    assert not left.exists()


def test_a_download_that_breaks_off_is_one_line(zoo, monkeypatch):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")

        def log_message(self, format, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        monkeypatch.setenv("DIM_TF_ZOO", f"http://127.0.0.1:{running.server_port}/")
        with pytest.raises(InputError, match=r"zoo\.json cannot be downloaded \(.*IncompleteRead"):
            resolve("digits")
        running.shutdown()
        thread.join()


def test_a_damaged_cache_is_filled_again(zoo, version):
    path = resolve("digits")
    (path / "saved_model.pb").write_bytes(b"half")
    assert files(resolve("digits")) == files(version)


def test_processes_that_fetch_at_once_fetch_once(server, zoo, version):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(resolve, ["digits"] * 4)
    assert others == [first] * 3
    assert files(first) == files(version)
    assert server.count(f"/{archive_in(zoo).name}") == 1


def test_an_index_that_is_being_written_is_not_removed(server, zoo, tmp_path, monkeypatch):
    """Another process removes what killed ones left among the encoders."""
    replace = os.replace

    def cleaned(source, target):
        if Path(target).name.endswith("-zoo.json"):
            remove_temporary_files(tmp_path / "cache" / "dim_tf" / "zoo")
        replace(source, target)

    monkeypatch.setattr(os, "replace", cleaned)
    resolve("digits")


def test_bytes_are_those_of_the_file_whatever_the_server_calls_them(
    server, zoo, version, monkeypatch
):
    handler = http.server.SimpleHTTPRequestHandler
    end_headers = handler.end_headers

    def with_encoding(self):
        if self.path.endswith(".tar.gz"):
            self.send_header("Content-Encoding", "gzip")
        end_headers(self)

    monkeypatch.setattr(handler, "end_headers", with_encoding)
    assert files(resolve("digits")) == files(version)


def test_a_folder_on_a_server_is_refused(server, zoo):
    rewrite(zoo, url="digits/2")
    with pytest.raises(InputError, match=r"is no archive.*python -m dim_tf\.zoo add packs"):
        resolve("digits")


def test_a_folder_is_used_where_it_is(version, tmp_path, monkeypatch):
    folder = tmp_path / "exported"
    digest = hashlib.sha256((version / "SHA256SUMS").read_bytes()).hexdigest()
    entry = {"url": "digits/2", "sha256": digest, "card": "digits/2/README.md"}
    content = {"format": 1, "models": {"digits": entry}}
    (folder / "zoo.json").write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setenv("DIM_TF_ZOO", str(folder))
    assert resolve("digits") == version
    (version / "SHA256SUMS").write_text("other", encoding="utf-8")
    with pytest.raises(InputError, match=r"SHA256SUMS has the SHA-256 \w+, not "):
        resolve("digits")


def test_the_encoder_of_the_repository_is_loaded_by_its_name(monkeypatch):
    monkeypatch.delenv("DIM_TF_ZOO", raising=False)
    encoder = dim_tf.load("zoo:dim_cifar10")
    assert encoder.path == ROOT / "exported" / "dim_cifar10" / "1"
    features = encoder(np.random.default_rng(0).random((2, 32, 32, 3), np.float32))
    assert features.shape == (2, 64)
    assert np.abs(features).max() > 0.1


def test_unknown_names_list_those_that_there_are(zoo):
    with pytest.raises(InputError, match=r"zoo:letters is unknown; .*zoo\.json has digits"):
        resolve("zoo:letters")


def test_without_a_zoo_the_error_says_how_to_give_one(tmp_path, monkeypatch):
    monkeypatch.setenv("DIM_TF_ZOO", str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"there is no .*zoo\.json; set DIM_TF_ZOO to"):
        resolve("digits")
    monkeypatch.delenv("DIM_TF_ZOO")
    monkeypatch.setattr(dim_tf, "__file__", str(tmp_path / "site-packages/dim_tf/__init__.py"))
    with pytest.raises(InputError, match="no zoo is given: set DIM_TF_ZOO"):
        resolve("digits")


def test_another_archive_is_refused_and_nothing_kept(zoo, tmp_path):
    archive = archive_in(zoo)
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"has the SHA-256 \w{64}, not \w{64} as the index says"):
        resolve("digits")
    assert cached(tmp_path) == []


def test_a_server_without_the_file_is_one_line(server, zoo, tmp_path):
    archive_in(zoo).unlink()
    with pytest.raises(InputError, match=r"digits-2-\w{8}\.tar\.gz cannot be downloaded \(404"):
        resolve("digits")
    assert cached(tmp_path) == []


def test_a_server_that_does_not_answer_is_one_line(zoo, monkeypatch):
    monkeypatch.setenv("DIM_TF_ZOO", "http://127.0.0.1:9/")
    with pytest.raises(InputError, match=r"cannot be downloaded .* check DIM_TF_ZOO"):
        resolve("digits")


def test_a_long_download_is_refused(server, monkeypatch):
    monkeypatch.setattr(index, "MAX_INDEX_BYTES", 10)
    with pytest.raises(InputError, match="has more than 10 bytes"):
        resolve("digits")


def archive_of(members):
    """A .tar.gz of (TarInfo, content)."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for member, data in members:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


def link(name, target, kind=tarfile.SYMTYPE):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


HOSTILE = {
    "a parent": [(tarfile.TarInfo("../escaped"), b"x")],
    "a parent inside": [(tarfile.TarInfo("a/../../escaped"), b"x")],
    "an absolute path": [(tarfile.TarInfo("/escaped"), b"x")],
    "a drive": [(tarfile.TarInfo("C:escaped"), b"x")],
    "a backslash": [(tarfile.TarInfo("..\\escaped"), b"x")],
    "a link": [(link("a", "/etc"), b"")],
    "a file through a link": [(link("a", ".."), b""), (tarfile.TarInfo("a/escaped"), b"x")],
    "a hard link": [(link("a", "../escaped", tarfile.LNKTYPE), b"")],
    "a device": [(link("a", "", tarfile.CHRTYPE), b"")],
    "a FIFO": [(link("a", "", tarfile.FIFOTYPE), b"")],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_archives_that_leave_their_folder_are_refused(kind, tmp_path):
    archive, folder = tmp_path / "a.tar.gz", tmp_path / "in" / "side"
    archive.write_bytes(archive_of(HOSTILE[kind]))
    folder.mkdir(parents=True)
    with pytest.raises(InputError, match="is no file inside it"):
        archives.unpack(archive, folder)
    assert sorted(files(tmp_path)) == ["a.tar.gz"]
    assert not Path("/escaped").exists()


def test_a_huge_header_is_refused_before_it_is_read(tmp_path):
    """A pax header says how long it is; tarfile would read all of it into memory."""
    header = tarfile.TarInfo("long")
    header.type = tarfile.XHDTYPE
    content = archive_of([(header, bytes(2**21))])
    (tmp_path / "a.tar.gz").write_bytes(content)
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match="it has a header of 2,097,152 bytes"):
        archives.unpack(tmp_path / "a.tar.gz", tmp_path / "in")


def test_a_refused_archive_is_named(zoo, tmp_path):
    content = archive_of(HOSTILE["a parent"])
    archive_in(zoo).write_bytes(content)
    rewrite(zoo, sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(
        InputError, match=r"zoo:digits: .*digits-2-\w{8}\.tar\.gz is refused: '\.\./esc"
    ):
        resolve("digits")
    assert cached(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no archive", "no whole .tar.gz"),
        (gzip.compress(b"no tar"), "no whole .tar.gz"),
        (archive_of([(tarfile.TarInfo("a"), bytes(9999))])[:60], "no whole .tar.gz"),
        (archive_of([(tarfile.TarInfo("a"), b"x")] * 2), "'a' is in it twice"),
        (
            archive_of([(tarfile.TarInfo(x), b"x") for x in ("a", "a/b")]),
            "'a/b' is in it twice, or",
        ),
        (
            archive_of([(tarfile.TarInfo(x), b"x") for x in ("a", "a/b/c")]),
            "'a/b/c' is in it twice, or",
        ),
        (archive_of([(tarfile.TarInfo("a"), b"x")]), "has no saved_model.pb"),
    ],
    ids=[
        "text",
        "gzip",
        "cut off",
        "twice",
        "a file and a folder",
        "a file and folders",
        "other files",
    ],
)
def test_damaged_archives_are_refused(content, message, zoo, tmp_path):
    archive_in(zoo).write_bytes(content)
    rewrite(zoo, sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(InputError, match=message):
        resolve("digits")
    assert cached(tmp_path) == []


def test_archives_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(archive_of([(tarfile.TarInfo(str(i)), b"xx") for i in range(3)]))
    for limit in ("MAX_FILES", "MAX_BYTES"):
        folder = tmp_path / limit
        folder.mkdir()
        with monkeypatch.context() as patch:
            patch.setattr(archives, limit, 2)
            with pytest.raises(InputError, match=r"it has more than [\d,]+ files or"):
                archives.unpack(archive, folder)
    (tmp_path / "whole").mkdir()
    archives.unpack(archive, tmp_path / "whole")
    assert sorted(files(tmp_path / "whole")) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "it is no object"),
        ("{", "Expecting"),
        ('{"format": 2, "models": {}}', '"format" is 2, not 1'),
        ('{"format": 1}', 'it has no "models"'),
        ('{"format": 1, "models": {"a": {}}}', "a needs the texts url, sha256, card"),
        ('{"format": 1, "models": {"../a": {}}}', "'../a' is no name"),
    ],
)
def test_an_index_that_is_none_is_refused(content, message, zoo):
    (zoo / "zoo.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=rf"zoo\.json is no index of encoders \(.*{message}"):
        resolve("digits")


@pytest.mark.parametrize("url", ["../digits", "/etc", "a/../../b", "file:///etc/a.tar.gz", ""])
def test_an_index_that_leaves_the_zoo_is_refused(url, zoo):
    rewrite(zoo, url=url)
    with pytest.raises(InputError, match="which is no URL and no path in the zoo"):
        resolve("digits")
    rewrite(zoo, url="digits.tar.gz", sha256="A" * 64)
    with pytest.raises(InputError, match="is no 64 hexadecimal digits in lower case"):
        resolve("digits")


def test_archives_of_the_same_files_have_the_same_bytes(version, tmp_path, monkeypatch):
    copy = fake_version.write(tmp_path / "copy")
    (copy / ".hidden").write_text("another", encoding="utf-8")
    (copy / "README.md").chmod(0o600)
    for number, folder in enumerate((version, copy)):
        archives.pack(folder, tmp_path / f"{number}.tar.gz")
    assert (tmp_path / "0.tar.gz").read_bytes() == (tmp_path / "1.tar.gz").read_bytes()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    archives.pack(version, tmp_path / "dated.tar.gz")
    with tarfile.open(tmp_path / "dated.tar.gz") as tar:
        assert {member.mtime for member in tar} == {1700000000}
    assert (tmp_path / "dated.tar.gz").read_bytes()[4:8] == (1700000000).to_bytes(4, "little")


def test_a_second_encoder_is_added(zoo, version, tmp_path):
    add(version, zoo, "numbers")
    assert sorted(Zoo.read(str(zoo)).entries) == ["digits", "numbers"]
    assert files(resolve("numbers")) == files(version)
    with pytest.raises(InputError, match=r"'a/b' is no name.*; give another --name"):
        add(version, zoo, "a/b")


def test_a_changed_version_is_not_added(version, tmp_path):
    (version / "saved_model.pb").write_bytes(b"changed")
    with pytest.raises(
        InputError, match=r"is not as it was exported \(changed: saved_model\.pb\); "
    ):
        add(version, tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()


def test_files_that_are_links_are_packed(zoo, version, tmp_path):
    (version / "saved_model.pb").rename(tmp_path / "large")
    (version / "saved_model.pb").symlink_to(tmp_path / "large")
    add(version, zoo, "linked")
    assert files(resolve("linked")) == files(version)


def test_a_name_that_no_archive_can_have_is_refused(version, tmp_path):
    (version / ("x" * 200)).touch()
    verify.write_sums(version)
    with pytest.raises(InputError, match=r"x cannot be packed: name is too long"):
        add(version, tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()


def test_a_zoo_on_a_server_is_not_added_to(version, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="is a URL; add to a folder of this machine"):
        add(version, Path("https://host/zoo"))
    assert not (tmp_path / "https:").exists()


def test_only_encoders_are_added(version, tmp_path):
    for kind, more in (
        ("classifier", {"signature": "probabilities"}),
        ("detector", {"anomaly": {}}),
    ):
        other = fake_version.write(tmp_path / kind / "1", **more)
        with pytest.raises(InputError, match=f"is a {kind}; a zoo has encoders"):
            add(other, tmp_path / "zoo")
    with pytest.raises(InputError, match=r"has no saved_model\.pb, so it is no version"):
        add(tmp_path, tmp_path / "zoo")
    with pytest.raises(InputError, match="give one elsewhere"):
        add(version, version / "zoo")


def test_an_archive_that_an_index_names_is_not_overwritten(zoo, version, tmp_path):
    before = archive_in(zoo)
    content = before.read_bytes()
    changed = fake_version.write(tmp_path / "again" / "digits" / "2", name="another")
    add(changed, zoo)
    assert before.read_bytes() == content
    assert files(resolve("digits")) == files(changed)


def test_the_largest_date_can_be_packed(version, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(2**32 - 1))
    archives.pack(version, tmp_path / "a.tar.gz")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(2**32))
    with pytest.raises(InputError, match="is no number of seconds since 1970"):
        archives.pack(version, tmp_path / "b.tar.gz")


def test_a_zoo_that_is_no_address_is_refused(monkeypatch):
    monkeypatch.setenv("DIM_TF_ZOO", "http://[x")
    with pytest.raises(InputError, match=r"http://\[x.* is no URL and no path"):
        resolve("digits")


def test_the_command_line(zoo, version, tmp_path, capsys):
    assert command.main(["list"]) == 0
    assert (
        capsys.readouterr().out
        == f"zoo:digits  {archive_in(zoo).with_suffix('').with_suffix('.md')}\n"
    )
    assert command.main(["path", "digits"]) == 0
    assert capsys.readouterr().out.strip() == str(resolve("digits"))
    assert command.main(["add", str(version), str(tmp_path / "new"), "--name=new"]) == 0
    assert capsys.readouterr().out.startswith(f"added: zoo:new, {tmp_path / 'new'}/new-2-")
    assert command.main(["path", "none"]) == 2
    assert capsys.readouterr().err.startswith("error: zoo:none is unknown")
