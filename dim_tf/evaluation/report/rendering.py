"""`render`: HTML by jinja2 from the files in templates/. Every value but Markup is escaped."""

from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from dim_tf.evaluation.report.formatting import (
    capitalize_first,
    format_value,
    label,
    reference_title,
)


def render(template: str, **values: Any) -> Markup:
    """Renders a template.

    Args:
        template: Name of a file in templates/.
        **values: What the template shows.

    Returns:
        HTML that other templates insert unchanged.

    Raises:
        jinja2.UndefinedError: The template uses a value that is not in `values`.
    """
    return Markup(_environment().get_template(template).render(values))


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dim_tf.evaluation.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "capitalize_first": capitalize_first,
        "format_value": format_value,
        "label": label,
        "reference_title": reference_title,
    }
    return environment
