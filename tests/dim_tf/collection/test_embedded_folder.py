"""A folder of images with their features, and the stage that searches among them."""

import csv
import functools
import http.client
import json
import threading

import numpy as np
import pytest
import small_export
from PIL import Image

import dim_tf
from dim_tf.collection import embed, embedded_folder
from dim_tf.collection.search_server import SearchServer
from dim_tf.experiment import Experiment
from dim_tf.export import saved_model
from dim_tf.run import Run
from dim_tf.stages.search import search
from dim_tf.system.errors import InputError
from dim_tf.system.locks import LOCK_FILE

COUNT = 7


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An export, which is loaded once for each signature."""
    path = tmp_path_factory.mktemp("exported") / "1"
    small_export.save(path)
    (path / "assets" / "metadata.json").write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saved_model, "load", functools.cache(saved_model.load))
        yield path


@pytest.fixture
def folders(tmp_path):
    """Two folders of images, one file of them broken."""
    paths = [tmp_path / "a" / "photos", tmp_path / "b" / "photos"]
    for path in paths:
        path.mkdir(parents=True)
    for number, pixels in enumerate(small_export.images(COUNT)):
        image = Image.fromarray(np.rint(255 * pixels).astype(np.uint8))
        image.save(paths[number % 2] / f"{number}.png")
    (paths[1] / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return paths


def experiment(folders, tmp_path, exported, **settings):
    return Experiment.of(
        name="photos",
        dataset="folder",
        data_dir=",".join(map(str, folders)),
        run_dir=str(tmp_path / "run"),
        encoder_path=str(exported),
        **settings,
    )


def test_the_images_of_several_folders_are_embedded_once(folders, tmp_path, exported, monkeypatch):
    settings = experiment(folders, tmp_path, exported)
    images = embedded_folder.embed_folder(settings, exported)
    assert sorted(images.ids) == sorted(
        f"{('photos', 'photos-2')[n % 2]}/{n}.png" for n in range(COUNT)
    )
    row = images.ids.index("photos-2/3.png")
    pixels = np.asarray(Image.open(folders[1] / "3.png"))
    np.testing.assert_array_equal(images.read_image(row), pixels)
    encoder = dim_tf.load(exported)
    expected = encoder(folders[1] / "3.png")[0]
    np.testing.assert_allclose(images.features[row], expected, atol=1e-5)

    monkeypatch.setattr(embed, "_embedded_shards", lambda *_: iter(()))  # nothing is embedded again
    again = embedded_folder.embed_folder(settings, exported)
    assert (again.ids, again.origin) == (images.ids, images.origin)


def test_a_new_image_is_embedded_and_the_index_made_again(folders, tmp_path, exported, capsys):
    settings = experiment(folders, tmp_path, exported)
    before = embedded_folder.embed_folder(settings, exported)
    index = embedded_folder.open_index(before, tmp_path / "index")
    assert len(index) == COUNT
    Image.new("RGB", (9, 9), "red").save(folders[0] / "new.png")
    after = embedded_folder.embed_folder(settings, exported)
    assert after.origin != before.origin
    capsys.readouterr()
    assert embedded_folder.open_index(after, tmp_path / "index").ids == list(after.ids)
    assert "is of other features" in capsys.readouterr().out
    embedded_folder.open_index(after, tmp_path / "index")
    assert capsys.readouterr().out == ""


def test_an_image_finds_itself_first(folders, tmp_path, exported):
    matches = dim_tf.search(
        folders, folders[0] / "4.png", exported, out=tmp_path / "run", verbose=0, k=3
    )
    (result,) = matches
    assert result.matches[0].id == "photos/4.png"
    assert result.matches[0].similarity == pytest.approx(1, abs=1e-4)
    lines = list(csv.DictReader((tmp_path / "run/search/results.csv").open()))
    assert [line["id"] for line in lines] == [match.id for match in result.matches]
    page = (tmp_path / "run/search/search.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 4  # the query and three matches


def test_a_folder_of_queries_and_one_that_cannot_be_decoded(folders, tmp_path, exported):
    settings = experiment(folders, tmp_path, exported, query=str(folders[0]), k=1)
    assert [result.matches[0].id for result in search(settings).matches] == [
        f"photos/{number}.png" for number in (0, 2, 4, 6)
    ]
    settings = experiment(folders, tmp_path, exported, query=str(folders[1] / "broken.png"))
    with pytest.raises(InputError, match=r"broken\.png"):
        search(settings)


def test_the_page_answers_with_the_neighbours_of_what_is_sent(
    folders, tmp_path, exported, monkeypatch
):
    answers = []

    def serve_once(server):
        """One request, from another thread."""

        def send():
            connection = http.client.HTTPConnection(*server.server_address, timeout=120)
            connection.request("POST", "/search", (folders[1] / "5.png").read_bytes())
            answers.append(json.loads(connection.getresponse().read()))

        assert not (tmp_path / "run" / LOCK_FILE).exists()  # other stages may write there now
        client = threading.Thread(target=send)
        client.start()
        server.handle_request()
        client.join()

    monkeypatch.setattr(SearchServer, "serve_forever", serve_once)
    settings = experiment(folders, tmp_path, exported, serve="127.0.0.1:0", k=2)
    assert Run(settings, verbose=0).search() == []
    assert answers[0]["matches"][0]["id"] == "photos-2/5.png"
    assert not (tmp_path / "run/search/search.html").exists()
