"""Templates escape what they show, need all of their values, and are in the package."""

import re
import subprocess
import sys
from pathlib import Path

import jinja2
import pytest
from markupsafe import Markup

from dim_tf.evaluation.report import rendering
from dim_tf.evaluation.report.rendering import render

TEMPLATES = sorted(Path(rendering.__file__).with_name("templates").iterdir())


def test_text_is_escaped_and_markup_is_not():
    items = ["<b>", Markup("<i>x</i>")]
    assert render("list.html", items=items) == "<ul><li>&lt;b&gt;</li><li><i>x</i></li></ul>"


def test_a_rendered_template_is_markup():
    assert isinstance(render("list.html", items=[]), Markup)


def test_a_value_that_a_template_lacks_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="items"):
        render("list.html")


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_no_template_switches_escaping_off(template):
    text = template.read_text(encoding="utf-8")
    assert "autoescape" not in text
    assert not re.search(r"\|\s*safe\b", text)


def test_values_can_be_formatted_without_the_evaluation():
    code = (
        "import sys\n"
        "from dim_tf.evaluation.report import formatting\n"
        "names = [name for name in sys.modules if name.startswith('dim_tf.')]\n"
        "assert set(names) == {\n"
        "    'dim_tf.evaluation',\n"
        "    'dim_tf.evaluation.report',\n"
        "    'dim_tf.evaluation.report.formatting',\n"
        "    'dim_tf.registry',\n"
        "}, names\n"
        "assert not {'numpy', 'jinja2', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
