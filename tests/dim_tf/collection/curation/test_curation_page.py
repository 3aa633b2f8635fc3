"""Tests of curate.html."""

import base64
import dataclasses
import hashlib
import io
import re

import chromium
import numpy as np
import pytest
import sample_curation
from PIL import Image

from dim_tf.collection import thumbnails
from dim_tf.collection.curation import curation_page
from dim_tf.collection.curation.curation_page import render_page

CURATION = sample_curation.curated()
HTML = render_page(CURATION, "my images")


def uris(html):
    return re.findall(r'src="([^"]*)"', html)


def section(html, name):
    return html.split(f'<section data-kind="{name}">')[1].split("</section>")[0]


def test_each_kind_has_its_cards():
    assert section(HTML, "Duplicates").count('class="card"') == 4
    assert section(HTML, "Leaks").count('class="card"') == 4
    assert section(HTML, "Labels").count('class="card"') == len(CURATION.labels.issues)
    assert section(HTML, "Outliers").count('class="card"') == curation_page.MAX_CARDS
    assert section(HTML, "Subset").count('class="card"') == 12
    assert "4 images are copies of others, in 4 groups" in HTML
    assert "red → blue?" in HTML


def test_the_page_loads_nothing_and_runs_its_own_script_alone():
    assert all(uri.startswith("data:image/jpeg;base64,") for uri in uris(HTML))
    assert not re.search(r'(href|src)="(?!data:|#)', HTML)
    script = HTML.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in HTML
    assert "default-src 'none'" in HTML


def test_thumbnails_are_small_and_not_too_many(monkeypatch):
    large = {10: np.zeros((500, 900, 3), np.uint8)}
    images = dataclasses.replace(
        CURATION.images, read_image=lambda row: large.get(row, CURATION.images.read_image(row))
    )
    monkeypatch.setattr(curation_page, "MAX_THUMBNAILS", 25)
    html = render_page(dataclasses.replace(CURATION, images=images), "x")
    assert 20 <= len(uris(html)) <= 25
    sizes = [Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).size for uri in uris(html)]
    assert np.max(sizes) <= thumbnails.MAX_SIDE


def test_a_large_group_shows_its_first_members():
    images = [sample_curation.photos(1)[0]] * 30 + sample_curation.photos(40, seed=1)
    html = render_page(sample_curation.curated(sample_curation.embedded(images)), "x")
    group = section(html, "Duplicates")
    assert group.count("<img") == curation_page.MAX_MEMBERS
    assert f"and {30 - curation_page.MAX_MEMBERS} more" in group


def test_names_are_text_whatever_they_hold():
    ids = [f'<script>alert("{row}")</script>\udcff' for row in range(264)]
    odd = dataclasses.replace(CURATION, images=dataclasses.replace(CURATION.images, ids=ids))
    html = render_page(odd, "<b>x</b>")
    assert html.count("<script>") == 1
    assert "<b>x" not in html
    html.encode("utf-8")


def test_labels_that_were_not_checked_say_why():
    plain = dataclasses.replace(CURATION, labels=None, unchecked_labels="only one class")
    html = render_page(plain, "x")
    assert "Labels were not checked: only one class" in html
    assert 'data-kind="Labels"' not in html


@pytest.mark.slow
@pytest.mark.skipif(chromium.path() is None, reason="there is no Chromium on the PATH")
class TestInABrowser:
    """By keyboard, and at the width of a phone."""

    @pytest.fixture(scope="class")
    def address(self, tmp_path_factory):
        path = tmp_path_factory.mktemp("page") / "curate.html"
        path.write_text(HTML, encoding="utf-8")
        return path.as_uri()

    @pytest.mark.parametrize("width", [375, 1280])
    def test_nothing_is_requested_missing_or_too_wide(self, browser, address, width):
        browser.open(address, width)
        assert [r for r in browser.requests if not r.startswith("data:")] == [address]
        assert browser.complaints == []
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run("[...document.images].every(i => i.naturalWidth > 0 || !i.complete)")

    def test_keys_walk_enlarge_and_filter(self, browser, address):
        browser.open(address, 1280)
        for key in "jjk":
            browser.press(key)
        heading = 'document.activeElement.querySelector("h3").textContent'
        assert browser.run(heading) == "Group 1: 2 images"
        browser.press("Enter")
        assert browser.run('document.querySelector("dialog").open')
        browser.press("j")
        shown = 'document.querySelector("dialog h3").textContent'
        assert browser.run(shown) == "Group 2: 2 images"
        browser.press("Escape")
        assert not browser.run('document.querySelector("dialog").open')
        browser.press("4")
        kinds = '[...document.querySelectorAll("section:not([hidden])")].map(s => s.dataset.kind)'
        assert browser.run(kinds) == ["Outliers"]
        browser.press("j")
        assert browser.run(heading).startswith("Outlier")
        browser.press("0")
        assert len(browser.run(kinds)) == 5

    def test_a_click_enlarges(self, browser, address):
        browser.open(address, 375)
        browser.run('document.querySelector(".card").click()')
        assert browser.run('document.querySelector("dialog").open')
        browser.run('document.querySelector("dialog > button").click()')
        assert not browser.run('document.querySelector("dialog").open')
