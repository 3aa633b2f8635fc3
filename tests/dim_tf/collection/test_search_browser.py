"""search.html and the page of --serve in a browser: what they show, keys, no request elsewhere."""

import threading

import chromium
import numpy as np
import pytest

from dim_tf.collection.index import Index
from dim_tf.collection.search import Location, Match, QueryImage, QueryMatches
from dim_tf.collection.search_page import write_search_page
from dim_tf.collection.search_server import SearchServer, SearchService
from dim_tf.settings.search import Address
from dim_tf.system.errors import InputError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium.path() is None, reason="there is no Chromium on the PATH"),
]
FEATURES = np.eye(6, dtype=np.float32)
IDS = [f"folder_of_a_very_long_name_{row}/image_of_another_long_name_{row}.jpg" for row in range(6)]
TOO_WIDE = """
[...document.querySelectorAll("body *")]
  .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.outerHTML.slice(0, 100))
"""
EMPTY = """
[...document.images].filter(i => !i.hidden && !(i.complete && i.naturalWidth > 0)).length
"""
FOCUS = "[...document.querySelectorAll('.match')].indexOf(document.activeElement)"
DROP = """
(bytes => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "a.png"));
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
})
"""


def read_image(row):
    rng = np.random.default_rng(row)
    image = np.full((64, 64 + 16 * row, 3), 30 * row, np.uint8)
    image[20:40, 10:30] = rng.integers(0, 256, 3, np.uint8)
    return image


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Two queries, the second by patch."""
    heat = np.random.default_rng(0).random((4, 4), np.float32)
    results = [
        QueryMatches(
            QueryImage("query_of_a_very_long_name_without_any_space_in_it.jpg", read_image(3)),
            tuple(Match(row, IDS[row], 0.9 - row / 10) for row in range(6)),
        ),
        QueryMatches(
            QueryImage("detail"),
            tuple(Match(r, IDS[r], 0.9 - r / 10, Location(1, r), heat) for r in range(4)),
        ),
    ]
    folder = tmp_path_factory.mktemp("search")
    return write_search_page(folder, results, read_image, "exact, 6 rows of 6 numbers").as_uri()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [375, 1280])
def test_the_page_shows_all_of_itself_and_asks_for_nothing(browser, page, width, dark):
    browser.open(page, width, dark=dark)
    assert browser.complaints == []
    assert [address for address in browser.requests if not address.startswith("data:")] == [page]
    assert browser.run(EMPTY) == 0
    assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [width, width]
    assert browser.run(TOO_WIDE) == []
    ink = browser.run("getComputedStyle(document.body).color")
    bright = np.mean([int(part) for part in ink.removeprefix("rgb(").rstrip(")").split(",")])
    assert (bright > 128) == dark


def test_a_heat_map_lies_on_its_image(browser, page):
    browser.open(page, 1280)
    boxes = browser.run(
        """[...document.querySelectorAll(".heat-map")].map(heat =>
          [heat, heat.previousElementSibling].map(image => {
            const box = image.getBoundingClientRect();
            return [box.left, box.top, box.width, box.height];
          }))"""
    )
    assert len(boxes) == 4
    for heat, image in boxes:
        assert heat == pytest.approx(image, abs=1)
    browser.press("h")
    assert browser.run("getComputedStyle(document.querySelector('.heat-map')).display") == "none"


def test_keys_go_from_image_to_image_and_enlarge_them(browser, page):
    browser.open(page, 375)
    browser.run("document.querySelector('.match').focus()")
    for key, focus in [("ArrowRight", 1), ("ArrowLeft", 0), ("ArrowLeft", 0), ("End", 9)]:
        browser.press(key)
        assert browser.run(FOCUS) == focus
    browser.press("Home")
    browser.press("ArrowDown")
    below = browser.run(FOCUS)
    lefts = browser.run(
        f"[0, {below}].map(i => document.querySelectorAll('.match')[i]"
        ".getBoundingClientRect().left)"
    )
    assert below > 0
    assert lefts[0] == lefts[1]
    browser.press("ArrowUp")
    assert browser.run(FOCUS) == 0
    browser.run("document.activeElement.click()")
    enlarged = "document.querySelector('dialog[open] .id')?.textContent"
    assert browser.run(enlarged) == IDS[0]
    browser.press("ArrowRight")
    assert browser.run(enlarged) == IDS[1]
    assert browser.run(
        "document.querySelector('dialog img').width > document.querySelector('.match img').width"
    )
    browser.run("document.querySelector('dialog').click()")
    assert browser.run(enlarged) is None
    assert browser.run(FOCUS) == 1


@pytest.fixture
def server():
    def embed(content):
        if content[0] > 5:
            raise InputError("the file is no image")
        return FEATURES[content[0]]

    service = SearchService(Index.build(FEATURES, IDS), embed, read_image, 4, "photos", 10)
    server = SearchServer(Address("127.0.0.1", 0), service)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def wait_for(browser, condition):
    """Waits until an expression in the page is true, at most 10 seconds."""
    script = f"""new Promise((done, fail) => {{
      const end = Date.now() + 10000;
      (function look() {{
        if ({condition}) done(true);
        else if (Date.now() > end) fail(new Error("not so"));
        else setTimeout(look, 20);
      }})();
    }})"""
    assert browser.run(script)


@pytest.mark.parametrize("width", [375, 1280])
def test_an_image_that_is_dropped_is_searched_for(browser, server, width):
    browser.open(server.url, width)
    assert browser.complaints == []
    browser.run(f"{DROP}([2])")
    wait_for(browser, "document.querySelectorAll('.gallery img').length == 4")
    wait_for(browser, "[...document.querySelectorAll('.gallery img')].every(i => i.naturalWidth)")
    assert browser.run("document.querySelector('.gallery .id').textContent") == IDS[2]
    assert browser.run("document.querySelector('.similarity').textContent") == "1.0000"
    assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [width, width]
    assert browser.run(TOO_WIDE) == []
    assert all(
        address.startswith((server.url, "blob:", "data:")) for address in browser.requests
    ), browser.requests


@pytest.mark.parametrize(
    ("content", "message"),
    [([77], "the file is no image"), ([1] * 11, "The file has more than 10 bytes.")],
)
def test_a_file_that_is_no_image_is_refused_in_words(browser, server, content, message):
    browser.open(server.url, 1280)
    browser.run(f"{DROP}({content})")
    wait_for(browser, f"document.querySelector('.status').textContent == '{message}'")
    assert browser.run("document.querySelectorAll('.gallery li').length") == 0
