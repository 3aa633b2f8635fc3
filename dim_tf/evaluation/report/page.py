"""`render_page`: an HTML page that loads nothing.

Images are data URIs, and charts are inline SVG. The page's own Content-Security-Policy forbids
everything else: its only script, for embedding plots or galleries, runs because its hash is listed.
"""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from dim_tf.evaluation.report.rendering import render


def asset(name: str) -> str:
    """A style or a script from this module's folder."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def script_hash(script: str) -> str:
    """How a Content-Security-Policy refers to a script."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


STYLE = asset("page.css")
PLOTS_SCRIPT = asset("page.js")
GALLERY_SCRIPT = asset("gallery.js")


def render_page(
    title: str,
    kicker: str,
    summary: str,
    sections: Mapping[str, str],
    warning: str = "",
    script: str = PLOTS_SCRIPT,
) -> str:
    """The HTML of a page.

    Args:
        title: Title of the page.
        kicker: The line above the title.
        summary: One sentence below the title.
        sections: Content by heading, as Markup; empty sections are left out.
        warning: Text below the summary; empty for none.
        script: `PLOTS_SCRIPT` or `GALLERY_SCRIPT`.
    """
    page = render(
        "page.html",
        title=title,
        kicker=kicker,
        summary=summary,
        warning=warning,
        sections={heading: content for heading, content in sections.items() if content},
        style=Markup(STYLE),
        script=Markup(script),
        script_hash=script_hash(script),
    )
    return page + "\n"


def describe_training(experiment: dict[str, Any]) -> str:
    """What was trained, in a few words: model, data set, encoder and, for dim, the estimator."""
    if experiment.get("encoder_path"):
        parts = ["external encoder", experiment.get("dataset")]
    else:
        keys = ["model", "dataset", "encoder"]
        keys += ["estimator"] if experiment.get("model", "dim") == "dim" else []
        parts = [experiment.get(key) for key in keys]
    return " · ".join(str(part) for part in parts if part)
