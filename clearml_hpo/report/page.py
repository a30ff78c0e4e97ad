"""A summary of studies as one HTML file that needs nothing else: style, plots and what draws them are in it."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache, partial
from importlib.resources import files
from typing import Any

from jinja2 import Environment

from clearml_hpo.core.best_effort import BestEffort
from clearml_hpo.core.goal import Objective
from clearml_hpo.core.templating import html_environment
from clearml_hpo.core.trial import Trial
from clearml_hpo.core.values import as_text
from clearml_hpo.report import figures
from clearml_hpo.report.figures.plot import short, short_names, thinned
from clearml_hpo.report.summary import StudySummary, attempt_name, duration_text, values_text
from clearml_hpo.search.importances import importances_of_all

_CURVES = 60
_MARKUP = re.compile(r"<(?!br>)")
_PX_PER_AXIS = 84
_PX_PER_SLICE = 220


@dataclass(frozen=True)
class Figure:
    """A plot of the page.

    Attributes:
        key: its name in the page.
        title: above it.
        drawn: as Plotly takes it.
        least_px: the width below which it is scrolled rather than squeezed.
    """

    key: str
    title: str
    drawn: Mapping[str, Any]
    least_px: int = 0

    @property
    def caption(self) -> str:
        """What the plot itself has to say."""
        return str(self.drawn["layout"].get("title") or "").removeprefix(f"{self.title}: ")

    @property
    def height_px(self) -> int:
        """As tall as it is to be."""
        return int(self.drawn["layout"].get("height", 360))


@dataclass(frozen=True)
class Section:
    """A study in the page: its best trials, full and short names of their parameters, its plots, what is missing."""

    study: StudySummary
    anchor: str
    top: Sequence[Trial]
    columns: Mapping[str, str]
    figures: Sequence[Figure]
    missing: Sequence[str]


def summary_page(title: str, studies: Sequence[StudySummary], *, top: int = 10) -> str:
    """The page: several studies beside one another first, then each by itself.

    Its size is bounded: a figure has at most some thousand points, a table ``top`` trials.

    Args:
        title: of the page.
        studies: one or several; those of one group with the same first objective are compared.
        top: so many of the best trials are listed of each study.
    """
    beside = [*_beside(studies)] if len(studies) > 1 else []
    sections = [_section(study, number, top) for number, study in enumerate(studies)]
    drawn = {each.key: each.drawn for each in (*beside, *(f for section in sections for f in section.figures))}
    return (
        _environment()
        .get_template("summary.html")
        .render(
            title=title,
            at=_utc(max((study.at for study in studies), default=0.0)),
            beside=beside,
            sections=sections,
            figures=_packed(json.dumps(drawn, separators=(",", ":")).encode()),
            plotly=_plotly() if drawn else "",
        )
    )


def _section(study: StudySummary, number: int, top: int) -> Section:
    best = study.ranked[:top]
    missing: list[str] = []
    drawn = [*_figures(study, number, BestEffort(missing.append))]
    return Section(study, f"study-{number}", best, _columns(best), drawn, missing)


# --- figures -------------------------------------------------------------------------------------------------------


def _beside(studies: Sequence[StudySummary]) -> Iterable[Figure]:
    """What compares studies, and shows how they shared the workers."""
    for number, ((group, objective), those) in enumerate(_comparable(studies).items()):
        title = f"Compared: {group}" if group else "Studies compared"
        trials = {study.name: study.trials for study in those}
        yield from _figure(f"compare-{number}", title, figures.comparison_figure(trials, objective))
    at = max(study.at for study in studies)
    attempts = {study.name: [*study.earlier, *study.trials] for study in studies}
    yield from _figure("usage", "Resource use over time", figures.usage_figure(attempts, at))


def _comparable(studies: Sequence[StudySummary]) -> dict[tuple[str, Objective], list[StudySummary]]:
    """Studies of one group that are after the same."""
    found: dict[tuple[str, Objective], list[StudySummary]] = {}
    for study in studies:
        found.setdefault((study.group, study.goal.objectives[0]), []).append(study)
    return {key: those for key, those in found.items() if len(those) > 1}


def _figures(study: StudySummary, number: int, effort: BestEffort) -> Iterable[Figure]:
    """Those of one study; a figure that cannot be drawn does not keep the others away."""
    goal, space = study.goal, study.space
    ended = [trial for trial in study.trials if not trial.state.is_live]
    parameters = len({name for trial in ended for name in trial.params})
    axes = min(30, parameters) + len(goal.objectives)

    def named(name: str, title: str, draw: Callable[[], str], least_px: int = 0) -> Iterable[Figure]:
        text = effort.attempt(f"the plot {title!r} is missing", draw) or ""
        return _figure(f"{number}-{name}", title, text, least_px)

    for index in range(len(goal.objectives)):
        yield from named(f"history-{index}", "History", partial(figures.history_figure, ended, goal, index))
    if len(goal.objectives) == 2:
        yield from named("front", "Pareto front", lambda: figures.front_figure(ended, goal))
    yield from named("hypervolume", "Hypervolume", lambda: figures.hypervolume_figure(ended, goal))
    shares = effort.attempt("the importances are missing", lambda: importances_of_all(ended, space, goal)) or []
    yield from named("importances", "Importances", lambda: figures.importance_figure(shares, goal))
    model = figures.model_parameter(space)
    if model is not None:
        groups = figures.by_model(ended, model)
        for index, objective in enumerate(goal.objectives):
            draw = partial(figures.comparison_figure, groups, objective, index)
            yield from named(f"model-{index}", f"Compared by {model}", draw)
    distributions = space.distributions
    lines = partial(figures.parallel_lines_figure, ended, goal, distributions)
    yield from named("parallel", "Parallel coordinates", lines, _PX_PER_AXIS * (axes + 1))
    slices = partial(figures.slice_figure, ended, goal, distributions, *shares[:1])
    yield from named("slices", "Slices", slices, _PX_PER_SLICE * min(4, parameters))
    pair = tuple([*(shares[0] if shares else ()), *distributions][:2])  # the two most important ones
    if len(pair) == 2 and len(set(pair)) == 2:
        yield from named("contour", "Contour", lambda: figures.contour_figure(ended, goal, distributions, pair))
        yield from named("rank", "Rank", lambda: figures.rank_figure(ended, goal, distributions, pair))
    yield from named("edf", "Distribution of values", lambda: figures.edf_figure(ended, goal))
    yield from named("curves", "Intermediate values", lambda: _curves(study))
    attempts = [*study.earlier, *study.trials]
    yield from named("timeline", "Resource use over time", lambda: figures.timeline_figure(attempts, study.at))


def _curves(study: StudySummary) -> str:
    looked_at = study.goal.pruning_objective
    if looked_at is None or not study.histories:
        return ""
    ran = [trial for trial in study.trials if trial.task_id in study.histories]
    return figures.intermediate_figure(thinned(ran, study.ranked, _CURVES), looked_at, study.histories)


def _figure(key: str, title: str, text: str, least_px: int = 0) -> Iterable[Figure]:
    """The figure, if there is something to show; in texts only line breaks are markup."""
    if text:
        yield Figure(key, title, _without_markup(json.loads(text)), least_px)


def _without_markup(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _without_markup(value) for key, value in part.items()}
    if isinstance(part, list):
        return [_without_markup(value) for value in part]
    return _MARKUP.sub("&lt;", part) if isinstance(part, str) else part


# --- tables and texts ----------------------------------------------------------------------------------------------


def _columns(trials: Sequence[Trial]) -> Mapping[str, str]:
    """Full and short names of the parameters that these trials have."""
    return short_names([*dict.fromkeys(name for trial in trials for name in trial.params)])


def _cell(trial: Trial, name: str) -> str:
    return short(trial.params[name]) if name in trial.params else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _utc(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


# --- the file ------------------------------------------------------------------------------------------------------


def _packed(content: bytes) -> str:
    """As text that a browser unpacks: a third of the size."""
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


@lru_cache(maxsize=1)
def _plotly() -> str:
    return _packed(files("plotly").joinpath("package_data").joinpath("plotly.min.js").read_bytes())


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return html_environment(
        "clearml_hpo.report",
        filters={
            "attempt": attempt_name,
            "duration": duration_text,
            "number": _number,
            "text": as_text,
            "linked": _safe_link,
        },
        names={"cell": _cell, "values": values_text},
    )


def _safe_link(url: str) -> str:
    """The address of a page; nothing else is linked."""
    return url if url.startswith(("http://", "https://")) else ""
