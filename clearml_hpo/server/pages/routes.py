"""Which page answers which path."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest

from starlette.responses import Response

from clearml_hpo.server.pages import (
    actions,
    chooser,
    compare,
    console,
    editing,
    experiments,
    export,
    home,
    hpo,
    links,
    login,
    plots,
    projects,
    queues,
    scalars,
    static,
    task,
    uploads,
    workers,
)
from clearml_hpo.server.pages.visit import Mistake, Visit

View = Callable[[Visit], Response]


def _no_order(visit: Visit) -> Response:
    raise Mistake("This page takes no orders.", 405)


def _only_orders(visit: Visit) -> Response:
    raise Mistake("This is where forms are sent to; there is nothing to see.", 405)


@dataclass(frozen=True)
class Route:
    """A path, what shows it, and what carries out the orders that are sent to it."""

    pattern: re.Pattern[str]
    show: View
    order: View = _no_order


def _route(path: str, show: View, order: View = _no_order) -> Route:
    """``<name>`` in a path is one step of it, ``<*name>`` all the rest."""
    steps = re.split(r"<(\*?)(\w+)>", path)
    pattern = "".join(
        re.escape(text) + (f"(?P<{name}>{'.*' if rest else '[^/]+'})" if name else "")
        for text, rest, name in zip_longest(steps[::3], steps[1::3], steps[2::3])
    )
    return Route(re.compile(f"^{pattern}/?$", re.DOTALL), show, order)


_LOGIN = _route(login.PATH, login.show, login.order)
_STATIC = _route("/static/<file>", static.file)
OPEN = (_LOGIN, _STATIC)  # before a log-in
ROUTES = (
    _route("/", home.show),
    *OPEN,
    _route("/hpo", hpo.show),
    _route("/hpo/<*rest>", hpo.show),
    _route("/projects", projects.show),
    _route("/queues", queues.show, queues.create),
    _route("/queues/<queue>", queues.one, queues.change),
    _route("/workers", workers.show),
    _route("/compare", compare.show),
    _route("/compare/figure", compare.figure),
    _route("/actions/<action>", actions.confirm, actions.order),
    _route("/files/<*file>", uploads.file),
    _route("/tasks/<task>/clone", editing.show_clone, editing.clone),
    _route("/tasks/<task>/edit", editing.show_edit, editing.edit),
    _route("/tasks/<task>/scalars/figure", scalars.figure),
    _route("/tasks/<task>/plots/figure", plots.figure),
    _route("/tasks/<task>/console/more", console.more),
    _route("/tasks/<task>/console.txt", console.text),
    _route("/tasks/<task>", task.show),
    _route("/tasks/<task>/<tab>", task.show),
    # The links that the SDK prints, and those of ClearML's web app that users have in their notes.
    _route("/projects/<project>/tasks", links.project),
    _route("/projects/<project>/experiments", links.project),
    _route("/projects/<project>/overview", links.project),
    _route("/projects/<project>/<kind>;ids=<ids>", links.compare),
    _route("/projects/<project>/<kind>;ids=<ids>/<*view>", links.compare),
    _route("/projects/<project>/tasks/<task>", links.task),
    _route("/projects/<project>/tasks/<task>/<*view>", links.task),
    _route("/projects/<project>/experiments/<task>", links.task),
    _route("/projects/<project>/experiments/<task>/<*view>", links.task),
    _route("/datasets", links.datasets),
    _route("/datasets/simple/<project>", links.project),
    _route("/datasets/simple/<project>/experiments/<task>", links.task),
    _route("/datasets/simple/<project>/tasks/<task>", links.task),
    _route("/pipelines", links.pipelines),
    _route("/pipelines/<project>", links.project),
    _route("/pipelines/<project>/experiments/<task>", links.task),
    _route("/pipelines/<project>/experiments/<task>/<*view>", links.task),
    _route("/pipelines/<project>/tasks/<task>", links.task),
    _route("/pipelines/<project>/tasks/<task>/<*view>", links.task),
    _route("/workers-and-queues", links.workers),
    _route("/workers-and-queues/workers", links.workers),
    _route("/workers-and-queues/queues", links.queues),
    _route("/settings/<*view>", links.settings),
    _route("/projects/<project>/export.csv", export.csv),
    _route("/projects/<project>/columns", chooser.show),
    _route("/projects/<project>", experiments.show),
)
