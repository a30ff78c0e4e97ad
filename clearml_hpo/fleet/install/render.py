"""The templates of the files, and the line by which they are known again."""

from __future__ import annotations

from typing import Any

from clearml_hpo.core.templating import text_environment

MARKER = "Written by clearml-hpo agents install"

_TEMPLATES = text_environment("clearml_hpo.fleet.install")


def render(template: str, /, **values: Any) -> str:
    """A template with values in it."""
    return _TEMPLATES.get_template(template).render(values, marker=MARKER)
