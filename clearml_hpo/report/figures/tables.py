"""Tables: all trials with links, and what is left of the budgets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from clearml_hpo.core.goal import Goal
from clearml_hpo.core.ranking import ranking
from clearml_hpo.core.trial import Trial
from clearml_hpo.report.figures.plot import aims, figure, short, short_names

_MOST_ROWS = 500


def table_figure(trials: Sequence[Trial], goal: Goal, url_of: Callable[[Trial], str]) -> str:
    """All trials, the best first, each linked to its task; of very many the best."""
    if not trials:
        return ""
    ranked = ranking(trials, goal)[:_MOST_ROWS]
    names = sorted({name for trial in ranked for name in trial.params})
    columns: list[tuple[str, list[str]]] = [
        ("trial", [f'<a href="{url_of(trial)}">{trial.number}</a>' for trial in ranked]),
        *((o.metric, [_number(t.values[i : i + 1]) for t in ranked]) for i, o in enumerate(goal.objectives)),
        ("state", [trial.state.value for trial in ranked]),
        *_columns_if_needed(ranked, goal),
        ("time", ["" if t.duration is None else f"{t.duration:.1f} s" for t in ranked]),
        *((title, [short(t.params.get(name)) for t in ranked]) for name, title in short_names(names).items()),
    ]
    some = f"the first {len(ranked)} of {len(trials)} trials, " if len(ranked) < len(trials) else ""
    return _table(columns, f"{some}{aims(goal)}")


def _columns_if_needed(trials: Sequence[Trial], goal: Goal) -> Iterator[tuple[str, list[str]]]:
    if goal.constraints:
        yield "constraints", ["kept" if trial.is_feasible else "broken" for trial in trials]
    if any(trial.attempt > 1 for trial in trials):
        yield "attempt", [str(trial.attempt) for trial in trials]


def budget_figure(remaining: Mapping[str, str]) -> str:
    """What is left of each budget, as it is worded."""
    return _table([("budget", list(remaining)), ("left", list(remaining.values()))], "budget") if remaining else ""


def _table(columns: Sequence[tuple[str, list[str]]], title: str) -> str:
    table = {
        "type": "table",
        "header": {"values": [name for name, _ in columns]},
        "cells": {"values": [cells for _, cells in columns]},
    }
    return figure([table], title=title)


def _number(values: Sequence[float | None]) -> str:
    """The first of them, if there is one."""
    return "" if not values or values[0] is None else f"{values[0]:.6g}"
