"""The site builds, loads nothing from elsewhere, and has every page, flag and public name."""

import functools
import http.server
import re
import subprocess
import sys
import threading
import types
from html.parser import HTMLParser

import chromium
import pytest
from doc_pages import PAGES, ROOT, text_of

from dim_tf import registry
from dim_tf.experiment import all_fields, model_settings

pytest.importorskip("material")
LOADED = {  # attributes whose addresses a browser loads by itself
    *(("img", "src"), ("script", "src"), ("iframe", "src"), ("source", "src"), ("video", "src")),
    ("link", "href"),
}


class Loaded(HTMLParser):
    """The addresses that a page loads."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if values.get("rel") not in ("canonical", "prev", "next"):  # which nothing loads
            self.addresses += [values[name] for t, name in LOADED if t == tag and name in values]


def loaded_from_elsewhere(text):
    page = Loaded()
    page.feed(text)
    return [address for address in page.addresses if re.match(r"(https?:)?//", address)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder


def page_of(site, name):
    return (site / name / "index.html").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 60
    assert {str(page): x for page in pages if (x := loaded_from_elsewhere(page.read_text()))} == {}
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert styles
    assert not [x for style in styles for x in re.findall(r"url\(\"?(?:https?:)?//", style)]


def test_an_address_elsewhere_is_found():
    text = (
        '<link rel="canonical" href="https://a"><img src="//b/c.png"><script src="d.js"></script>'
    )
    assert loaded_from_elsewhere(text) == ["//b/c.png"]


def test_every_page_is_on_the_site(site):
    for page in PAGES:
        if page == "README.md":
            assert '<h1 id="dim_tf">dim_tf' in page_of(site, "")
            continue
        inside = page.removeprefix("docs/")
        address = inside if inside != page else f"repository/{page}"
        address = address.removesuffix(".md").removesuffix("README")
        assert (site / address / "index.html").is_file(), page


def test_every_flag_has_a_row(site):
    text = page_of(site, "reference/flags")
    names = {"mode", "model", *all_fields()}
    for model in registry.MODELS:
        names |= set(model_settings(model).flags())
    missing = [x for x in names if not re.search(rf"<code>--(\[no\])?{re.escape(x)}</code>", text)]
    assert missing == []


def test_every_public_name_is_described(site):
    import dim_tf
    import keras_models
    from keras_models import encoders, terms

    text = page_of(site, "reference/api")
    for module in (dim_tf, keras_models, encoders, terms):
        for name in module.__all__:
            if not isinstance(getattr(module, name), types.ModuleType):
                assert f'id="{module.__name__}.{name}"' in text, f"{module.__name__}.{name}"


def test_equations_are_mathml(site):
    text = page_of(site, "METHOD")
    assert text.count("<math") == len(re.findall(r"\$\$.+?\$\$|\$[^$]+\$", _prose(), re.DOTALL))
    assert "arithmatex" not in text
    assert "<mfrac>" in text


def _prose():
    """METHOD.md without code."""
    return re.sub(r"```.*?```|`[^`\n]+`", "", text_of("docs/METHOD.md"), flags=re.DOTALL)


def test_code_of_other_files_is_shown(site):
    text = page_of(site, "repository/keras_models/terms/mmd.py")
    assert "class" in text
    assert "MaximumMeanDiscrepancy" in text
    assert "flags/digits.cfg" in page_of(site, "repository/flags/digits.cfg")


@pytest.fixture(scope="module")
def address(site):
    """The site, served."""
    handler = functools.partial(QuietHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@pytest.mark.skipif(not chromium.path(), reason="there is no Chromium")
@pytest.mark.parametrize("page", ["", "quick-start/", "howto/serve/", "METHOD/"])
def test_a_page_fits_and_requests_nothing_elsewhere(address, browser, page):
    colors = set()
    for width, dark in ((1280, False), (1280, True), (390, False)):
        browser.open(address + page, width, dark=dark)
        assert browser.complaints == []
        assert [x for x in browser.requests if not x.startswith((address, "data:"))] == []
        assert browser.run("document.documentElement.scrollWidth") == width
        colors.add(browser.run("getComputedStyle(document.body).backgroundColor"))
    assert len(colors) == 2
