"""The templates of the files, and the line by which they are known again."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

MARKER = "Written by clearml-hpo agents install"

_TEMPLATES = Environment(
    loader=PackageLoader("clearml_hpo.fleet.install"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,
)


def render(template: str, /, **values: Any) -> str:
    """A template with values in it."""
    return _TEMPLATES.get_template(template).render(values, marker=MARKER)
