"""README's picture shows the head and two sections of a report."""

import importlib.util
from pathlib import Path

PATH = Path(__file__).parents[2] / "examples/report_picture.py"


def test_other_sections_are_left_out():
    spec = importlib.util.spec_from_file_location("report_picture", PATH)
    report_picture = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(report_picture)
    report = (
        '<header>\n<h1>a</h1>\n<nav aria-label="Sections">\n<a href="#cost">Cost</a>\n</nav>\n'
        '</header>\n<section id="results">\nr\n</section>\n<section id="cost">\nc\n</section>\n'
        '<section id="nearest-neighbours">\nn\n</section>\n</main>'
    )
    assert report_picture.shortened(report) == (
        '<header>\n<h1>a</h1>\n</header>\n<section id="results">\nr\n</section>\n'
        '<section id="nearest-neighbours">\nn\n</section>\n</main>'
    )
