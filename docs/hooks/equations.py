"""Equations become MathML when the site is built, so that a page needs no script for them."""

import html
import re

from latex2mathml.converter import convert

# What pymdownx.arithmatex writes, with generic: true.
_EQUATION = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)


def on_page_content(content: str, **_) -> str:
    """Called by mkdocs with the HTML of each page."""
    return _EQUATION.sub(_mathml, content)


def _mathml(match: re.Match) -> str:
    display = "block" if match["tag"] == "div" else "inline"
    # latex2mathml writes an unknown command as text: then the page would show it.
    mathml = convert(html.unescape(match["latex"]).strip(), display=display)
    if unknown := re.search(r"\\[A-Za-z]+", html.unescape(mathml)):
        raise ValueError(f"{match['latex']}: latex2mathml does not know {unknown[0]}")
    return f'<div class="equation">{mathml}</div>' if display == "block" else mathml
