"""Parallel coordinates: one axis for each parameter that varies, one for the metric, one line for each task.

Drawn as ordinary lines: Plotly's own kind of it needs WebGL, and code that is made while it runs, which pages forbid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clearml_hpo.server.pages import cells
from clearml_hpo.server.pages.columns import USER_PROPERTIES
from clearml_hpo.server.store.documents import Document

_TICKS = 5
_MOST_AXES = 16
_MOST_CHOICES = 30
_SHORT = 18
# From blue to yellow; all of them stand out from a white and from a black page.
_COLOURS = ((43, 110, 217), (150, 80, 190), (221, 78, 110), (236, 125, 60), (226, 178, 50))


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        title: its name.
        places: where each task stands on it, 0 to 1; NaN: nowhere.
        texts: the value of each task.
        ticks: places and texts to write at the axis.
    """

    title: str
    places: tuple[float, ...]
    texts: tuple[str, ...]
    ticks: tuple[tuple[float, str], ...]


def axis(title: str, texts: Sequence[str | None]) -> Axis:
    """An axis for these values: of numbers, by their logarithm where they span decades; or of names."""
    numbers = [_number(text) for text in texts]
    shown = tuple("" if text is None else text for text in texts)
    if all(math.isfinite(number) for number, text in zip(numbers, texts, strict=True) if text):
        return _of_numbers(title, numbers, shown)
    return _of_names(title, shown)


def _of_names(title: str, texts: tuple[str, ...]) -> Axis:
    names = sorted(set(filter(None, texts)))
    last = max(1, len(names) - 1)
    place = {name: at / last for at, name in enumerate(names)}
    ticks = tuple((place[name], name) for name in names[:_MOST_CHOICES])
    return Axis(title, tuple(place.get(text, math.nan) for text in texts), texts, ticks)


def _of_numbers(title: str, numbers: Sequence[float], texts: tuple[str, ...]) -> Axis:
    known = [number for number in numbers if math.isfinite(number)]
    scale = _Scale(min(known, default=0.0), max(known, default=0.0))
    ticks = tuple((scale.place(value), f"{value:.3g}") for value in scale.ticks())
    return Axis(title, tuple(scale.place(n) if math.isfinite(n) else math.nan for n in numbers), texts, ticks)


@dataclass(frozen=True)
class _Scale:
    """From ``least`` to ``most``, by their logarithm where they span decades."""

    least: float
    most: float

    @property
    def _is_by_decades(self) -> bool:
        return self.least > 0 and self.most / self.least >= 100

    def _scaled(self, number: float) -> float:
        return math.log(number) if self._is_by_decades else number

    def place(self, number: float) -> float:
        """Where a number stands, 0 to 1."""
        low, high = self._scaled(self.least), self._scaled(self.most)
        return (self._scaled(number) - low) / (high - low) if high > low else 0.5

    def ticks(self) -> Sequence[float]:
        """Numbers to write at the axis."""
        low, high = self._scaled(self.least), self._scaled(self.most)
        steps = [low + (high - low) * at / (_TICKS - 1) for at in range(_TICKS)] if high > low else [low]
        return [math.exp(step) if self._is_by_decades else step for step in steps]


def _number(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        return math.nan


def axes(tasks: Sequence[Document]) -> list[Axis]:
    """The axes of the hyperparameters that are not the same in all tasks."""
    names = sorted(
        {
            (s, name)
            for task in tasks
            for s, items in task["hyperparams"].items()
            if s != USER_PROPERTIES
            for name in items
        }
    )
    found = []
    for section, name in names:
        texts = [_text(task, section, name) for task in tasks]
        if len(set(texts)) > 1:
            found.append(axis(name, texts))
    return found


def _text(task: Document, section: str, name: str) -> str | None:
    value = task["hyperparams"].get(section, {}).get(name, {}).get("value")
    return None if value is None else str(value)


def figure(tasks: Sequence[Document], measured: Mapping[str, float | None], title: str) -> Document:
    """The plot of some tasks, each with its value of the metric; tasks without one are left out."""
    kept = [task for task in tasks if measured.get(task["id"]) is not None]
    values = [cells.number(measured[task["id"]]) for task in kept]
    shown = [*axes(kept)[: _MOST_AXES - 1], axis(title, values)] if kept else []
    order = sorted(range(len(kept)), key=lambda at: shown[-1].places[at])
    return {"data": [_line(kept[at], at, shown) for at in order], "layout": _layout(shown)}


def _line(task: Document, at: int, shown: Sequence[Axis]) -> Document:
    about = "<br>".join(f"{_escaped(axis.title)}: {_escaped(axis.texts[at])}" for axis in shown)
    return {
        **{"type": "scatter", "mode": "lines+markers", "name": task["name"], "customdata": [task["id"]] * len(shown)},
        "x": list(range(len(shown))),
        "y": [axis.places[at] for axis in shown],
        "line": {"color": colour(shown[-1].places[at]), "width": 1.5},
        "marker": {"size": 5},
        "hovertemplate": f"<b>{_escaped(task['name'])}</b><br>{about}<extra></extra>",
    }


def _layout(shown: Sequence[Axis]) -> Document:
    ticks = [(at, *tick) for at, axis in enumerate(shown) for tick in axis.ticks]
    notes = [
        {"x": x, "y": y, "text": _escaped(_shortened(text)), "showarrow": False, "xanchor": "left", "xshift": 5}
        for x, y, text in ticks
    ]
    lines = [{"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1} for at in range(len(shown))]
    names = [_escaped(_shortened(axis.title)) for axis in shown]
    return {
        "xaxis": {
            **{"tickmode": "array", "tickvals": list(range(len(shown))), "ticktext": names, "side": "top"},
            **{"showgrid": False, "zeroline": False, "range": [-0.15, len(shown) - 0.45]},
        },
        "yaxis": {"visible": False, "range": [-0.05, 1.05]},
        "annotations": notes,
        "shapes": lines,
        "showlegend": False,
        "hovermode": "closest",
    }


def colour(place: float) -> str:
    """A colour for a place from 0 to 1."""
    if not math.isfinite(place):
        return "#888"
    at = min(max(place, 0.0), 1.0) * (len(_COLOURS) - 1)
    below = min(int(at), len(_COLOURS) - 2)
    mixed = (round(a + (b - a) * (at - below)) for a, b in zip(_COLOURS[below], _COLOURS[below + 1], strict=True))
    return f"rgb({', '.join(map(str, mixed))})"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


def _escaped(text: str) -> str:
    """Plotly reads some HTML in its texts, and what looks like a place for a value."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("%{", "% {")
