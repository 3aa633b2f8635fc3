"""The pages in a browser: no error, no request, nothing empty or too wide, plots that zoom."""

import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

import chromium
import numpy as np
import pytest
from sample_report import EVALUATION, EXPERIMENT, every_figure, metrics_lines, random_images, write

from dim_tf.evaluation import compare
from dim_tf.experiment import Experiment
from dim_tf.run import Report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium.path() is None, reason="there is no Chromium on the PATH"),
]
WIDTHS = {"phone": 375, "desktop": 1280}
EMPTY = """
[...document.images].filter(i => !(i.complete && i.naturalWidth > 0)).map(i => i.alt)
"""
TOO_WIDE = """
[...document.querySelectorAll("body *")]
  .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll, svg, pre"))
  .map(e => e.outerHTML.slice(0, 100))
"""
FRAME = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A report and a comparison."""
    folders = []
    metrics = metrics_lines(50, loss=lambda s: 1 / s, online_probe=lambda s: s / 50)
    for name in ("first_of_two_runs_with_a_long_name", "second_of_two_runs_with_a_long_name"):
        folder = tmp_path_factory.mktemp(name)
        experiment = {**EXPERIMENT, "name": name, "epochs": len(folders) + 1}
        write(
            folder,
            experiment=experiment,
            evaluation=EVALUATION,
            metrics=metrics,
            figures=every_figure(),
        )
        (folder / "experiment.json").write_text(Experiment.of(**experiment).to_json())
        (folder / "evaluation.json").write_text(json.dumps(EVALUATION))
        (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, metrics)))
        folders.append(folder)
    path = tmp_path_factory.mktemp("compare") / "report.html"
    compare.write_comparison(path, folders)
    return {"report": (folders[0] / "report.html").as_uri(), "compare": path.as_uri()}


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("page", ["report", "compare"])
def test_a_page_shows_all_of_itself_and_asks_for_nothing(browser, pages, page, width, dark):
    browser.open(pages[page], width, dark=dark)
    assert browser.complaints == []
    asked = [address for address in browser.requests if not address.startswith("data:")]
    assert asked == [pages[page]]
    assert browser.run(EMPTY) == []
    assert browser.run("[innerWidth, document.documentElement.scrollWidth]") == [width, width]
    assert browser.run(TOO_WIDE) == []
    ink = browser.run("getComputedStyle(document.body).color")
    bright = np.mean([int(part) for part in ink.removeprefix("rgb(").rstrip(")").split(",")])
    assert (bright > 128) == dark


def test_the_policy_stops_what_is_not_of_the_page(browser, pages):
    """Else the tests above could not fail."""
    browser.open(pages["report"], 1280)
    before = len(browser.requests)
    added = "const i = new Image(); i.src = 'http://127.0.0.1:9/a.png'; document.body.append(i)"
    browser.run(f"{{{added}}}")
    browser.run("new Promise(done => setTimeout(done, 200))")
    assert any("Content Security Policy" in str(complaint) for complaint in browser.complaints)
    sent = browser.requests[before:]
    assert sent in ([], ["http://127.0.0.1:9/a.png"])  # asked for and stopped before it left


def view(browser):
    box = browser.run("document.querySelector('.embedding svg').getAttribute('viewBox')")
    return [float(part) for part in box.split()]


def thumbs(browser):
    return browser.run("document.querySelectorAll('.thumbnails .frame').length")


def test_a_plot_is_zoomed_by_keys_until_dots_become_images(browser, pages):
    browser.open(pages["report"], 1280)
    assert view(browser) == [0, 0, 1000, 1000]
    assert thumbs(browser) == 0
    browser.run("document.querySelector('.embedding svg').focus()")
    browser.press("+")
    browser.run(FRAME)
    x, y, width, _ = view(browser)
    assert width == pytest.approx(1000 / 1.5)
    assert x == y == pytest.approx((1000 - width) / 2)
    assert thumbs(browser) > 0
    browser.press("ArrowRight")
    browser.run(FRAME)
    assert view(browser)[0] == pytest.approx(x + width / 8)
    browser.press("0")
    browser.run(FRAME)
    assert view(browser) == [0, 0, 1000, 1000]
    assert thumbs(browser) == 0


def test_a_plot_is_zoomed_by_its_buttons(browser, pages):
    browser.open(pages["report"], WIDTHS["phone"])
    browser.run("document.querySelector('[data-action=in]').click()")
    browser.run(FRAME)
    assert view(browser)[2] < 1000
    browser.run("document.querySelector('[data-action=reset]').click()")
    browser.run(FRAME)
    assert view(browser)[2] == 1000


def test_the_tooltip_shows_the_image_of_the_dot(browser, pages):
    """The first dot of the last class: the images in the sheet are in the order of the classes."""
    browser.open(pages["report"], 1280)
    browser.run("document.querySelector('.embedding').scrollIntoView({behavior: 'instant'})")
    x, y = browser.run(
        """(() => {
          const svg = document.querySelector(".embedding svg"), box = svg.getBoundingClientRect();
          const path = document.querySelector('.dots path[data-name="frog"]').getAttribute("d");
          const [x, y] = path.slice(1).split("h0")[0].split(" ").map(Number);
          return [box.left + x * box.width / 1000, box.top + y * box.height / 1000];
        })()"""
    )
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    browser.run(FRAME)
    assert browser.run("document.querySelector('.tip').textContent") == "frog"
    box = browser.run("document.querySelector('.tip svg').getAttribute('viewBox')")
    left, top, width, height = (int(part) for part in box.split())
    n = 8  # four cats and four dogs stand before
    assert (left, top, width, height) == (5 * (n % 4), 6 * (n // 4), 5, 6)
    assert len(random_images(12)) == 12


def test_a_class_is_hidden_with_its_images(browser, pages):
    browser.open(pages["report"], 1280)
    browser.run("document.querySelector('[data-action=in]').click()")
    browser.run(FRAME)
    before = thumbs(browser)
    browser.run("document.querySelectorAll('.keys input').forEach(box => box.click())")
    browser.run(FRAME)
    assert before > 0
    assert thumbs(browser) == 0
    shown = "[...document.querySelectorAll('.dots path')].map(p => getComputedStyle(p).display)"
    assert browser.run(shown) == ["none"] * 3


def test_settings_are_unfolded_in_print(browser, pages, tmp_path):
    browser.open(pages["report"], 1280, dark=True)
    browser.pdf(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    browser.ask("Emulation.setEmulatedMedia", media="print", features=[])
    assert browser.run("document.querySelector('td.text').checkVisibility()")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_the_sections_of_a_report_in_a_notebook_are_reached_by_their_links(
    browser, pages, tmp_path
):
    report = Report(Path(unquote(urlsplit(pages["report"]).path)))
    notebook = tmp_path / "notebook.html"
    notebook.write_text(f"<title>a notebook</title>{report._repr_html_()}", encoding="utf-8")
    browser.open(notebook.as_uri(), WIDTHS["desktop"])
    shown = "document.querySelector('iframe').contentWindow"
    browser.run(f"{shown}.document.documentElement.style.scrollBehavior = 'auto'")
    assert browser.run(f"{shown}.scrollY") == 0
    browser.run(f"[...{shown}.document.querySelectorAll('nav a')].at(-1).click()")
    browser.run(FRAME)
    assert browser.run(f"{shown}.location.href").startswith("about:srcdoc#")
    assert browser.run(f"{shown}.scrollY") > 0
    assert browser.complaints == []
