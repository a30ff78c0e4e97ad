"""The templates of the files, and the line by which they are known again."""

from __future__ import annotations

from typing import Any

MARKER = "Written by clearml-hpo agents install"


def render(template: str, /, **values: Any) -> str:
    """A template with values in it."""
    from clearml_hpo.core.templating import text_environment  # loads Jinja

    return text_environment("clearml_hpo.fleet.install").get_template(template).render(values, marker=MARKER)
