"""The scalars of a task, one plot for each metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from clearml_hpo.server.pages import cells, render
from clearml_hpo.server.pages.visit import Visit
from clearml_hpo.server.store.documents import Document

# What the points of a scalar are laid out along: the key of the histogram, and its name for users.
ALONG = {"iter": "iterations", "iso_time": "time"}
SAMPLES = 1000


def fill(visit: Visit, task: Document) -> dict[str, Any]:
    """Names of the metrics, those of the machine at the end; a script fetches the points of those that are in sight."""
    single = visit.store.scalars.single_values([task["id"]]).get(task["id"], [])
    drawn = {metric for metric, _ in visit.store.browse.drawn([task["id"]])}
    return {
        "metrics": sorted(drawn, key=lambda m: (cells.is_of_the_machine(m), m)),
        "single": [(cells.metric_name(each["metric"], each["variant"]), each["value"]) for each in single],
        "along": visit.choice("along", tuple(ALONG)),
        "choices": ALONG,
    }


def figure(visit: Visit) -> Response:
    """One metric: a line for each of its variants."""
    task, metric = visit.names["task"], visit.query.get("metric", "")
    along = visit.choice("along", tuple(ALONG))
    visit.store.tasks.require(task, ["id"])
    found = visit.store.scalars.histogram(task, along, SAMPLES, [{"metric": metric}])
    lines = [line(variant, points) for variant, points in found.get(metric, {}).items()]
    return render.data({"data": lines, "layout": layout(along, lines)})


def line(name: str, points: Document) -> Document:
    """A trace; a single point is a dot."""
    mode = "lines" if len(points["x"]) > 1 else "markers"
    return {"type": "scatter", "mode": mode, "name": name, "x": points["x"], "y": points["y"]}


def layout(along: str, lines: Sequence[Document]) -> Document:
    """What is the same of all plots of scalars; there is a legend where there is something to tell apart."""
    axis = (
        {"type": "date"}
        if along == "iso_time"
        else {"title": {"text": ALONG[along], "font": {"size": 11}, "standoff": 4}}
    )
    return {"xaxis": axis, "showlegend": len(lines) > 1, "hovermode": "closest" if len(lines) > 20 else "x unified"}
