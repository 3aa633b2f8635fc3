"""search.html: thumbnails, heat maps, escaped names, and its bound."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from dim_tf.collection import search_page
from dim_tf.collection.search import Location, Match, QueryImage, QueryMatches
from dim_tf.collection.search_page import write_search_page
from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.system.errors import InputError, RunError

HEAT = np.linspace(-0.2, 0.8, 12, dtype=np.float32).reshape(3, 4)


def image_of(row):
    return np.full((20, 300, 3), 40 * row, np.uint8)


def matches(count):
    return tuple(Match(row, f"{row}.jpg", 0.9 - row / 10) for row in range(count))


def page(tmp_path, results, read_image=image_of):
    path = write_search_page(tmp_path, results, read_image, "exact, 9 rows")
    assert path == tmp_path / "search.html"
    return path.read_text(encoding="utf-8")


def images(html, kind):
    uris = re.findall(f'src="data:image/{kind};base64,([^"]+)"', html)
    return [Image.open(io.BytesIO(base64.b64decode(uri))) for uri in uris]


def test_every_match_has_a_thumbnail_its_id_and_similarity(tmp_path):
    query = QueryImage("query.jpg", np.full((50, 50, 3), 255, np.uint8))
    html = page(tmp_path, [QueryMatches(query, matches(3))])
    thumbnails = images(html, "jpeg")
    assert [thumbnail.size for thumbnail in thumbnails] == [(50, 50)] + [(96, 6)] * 3
    brightness = [round(np.asarray(thumbnail).mean()) for thumbnail in thumbnails]
    assert brightness == pytest.approx([255, 0, 40, 80], abs=2)
    assert re.findall(r'class="similarity">([^<]+)<', html) == ["0.9000", "0.8000", "0.7000"]
    assert re.findall(r'class="id">([^<]+)<', html) == ["0.jpg", "1.jpg", "2.jpg"]
    assert "1 query, 3 matches" in html
    assert 'heat-map"' not in html


def test_names_are_escaped(tmp_path):
    name = '<script>alert("1")</script>'
    html = page(tmp_path, [QueryMatches(QueryImage(name), (Match(0, name, 0.5),))])
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;") == 3


def test_a_detail_has_its_heat_map_and_frame(tmp_path):
    match = Match(1, "1.jpg", 0.8, Location(2, 3), HEAT)
    html = page(tmp_path, [QueryMatches(QueryImage("detail"), (match,))])
    (heat,) = images(html, "png")
    alpha = np.asarray(heat)[..., 3]
    assert alpha.shape == (3, 4)
    assert alpha[0, 0] == 0
    assert alpha[2, 3] == alpha.max() == 190
    assert "left:75.00%;top:66.67%;width:25.00%;height:33.33%" in html
    assert "H: with and without heat maps" in html


def test_a_heat_map_of_one_value_is_no_error(tmp_path):
    match = Match(1, "1.jpg", 0.8, Location(0, 0), np.zeros((2, 2), np.float32))
    page(tmp_path, [QueryMatches(QueryImage("detail"), (match,))])


@pytest.mark.parametrize(
    "error", [OSError("gone"), InputError("x"), RunError("x"), UndecodableError(Fault.BROKEN)]
)
def test_an_image_that_cannot_be_read_is_a_gap(tmp_path, error):
    def read_image(row):
        if row == 1:
            raise error
        return image_of(row)

    html = page(tmp_path, [QueryMatches(QueryImage("q"), matches(3))], read_image)
    assert len(images(html, "jpeg")) == 2
    assert html.count(">cannot be read<") == 1


def test_the_page_shows_no_more_thumbnails_than_it_states(tmp_path, monkeypatch):
    monkeypatch.setattr(search_page, "MAX_THUMBNAILS", 4)
    results = [QueryMatches(QueryImage(name), matches(3)) for name in "ab"]
    html = page(tmp_path, results)
    assert len(images(html, "jpeg")) == 4
    assert html.count(">not shown<") == 2
    assert "The first 4 images are shown; results.csv lists all." in html


def test_the_policy_allows_the_script_of_galleries_alone(tmp_path):
    html = page(tmp_path, [QueryMatches(QueryImage("q"), matches(1))])
    assert "default-src 'none'; img-src data:" in html
    assert html.count("<script>") == 1
    assert "const matches" in html


def test_a_page_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(RunError, match=r"search\.html could not be written"):
        write_search_page(tmp_path / "none", [], image_of, "")
