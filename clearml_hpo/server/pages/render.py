"""Templates and what they are filled with."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import quote

from jinja2 import Environment
from starlette.responses import HTMLResponse, Response

from clearml_hpo.core.assets import has_plotly
from clearml_hpo.core.templating import html_environment
from clearml_hpo.server.pages import cells, static
from clearml_hpo.server.store.documents import to_json

_FILTERS = (
    *(cells.moment, cells.duration, cells.number, cells.size, cells.status, cells.tags, cells.plain),
    cells.differences,
)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return html_environment(
        "clearml_hpo.server.pages",
        filters={each.__name__: each for each in _FILTERS},
        names={
            "path": cells.path,
            "link": cells.link,
            "task_link": cells.task_link,
            "metric_name": cells.metric_name,
            "quoted": lambda text: quote(str(text), safe=""),
            "static": static.ASSETS.address,
            "has_plotly": has_plotly,
        },
    )


def page(template: str, /, code: int = 200, **values: Any) -> HTMLResponse:
    """A whole page."""
    return HTMLResponse(_environment().get_template(template).render(**values), code)


def data(value: Any) -> Response:
    """What a script of a page asked for. JSON has no NaN: it becomes null, a gap in a line."""
    return Response(to_json(value), media_type="application/json")
