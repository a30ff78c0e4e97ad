"""Which worker ran what, and when."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.report.figures.plot import COLOURS, SERIES, by_state, figure

_MOST_BARS = 1_000
_MOST_OUTLINED = 300  # thin bars would be all outline
_ROW_PX = 22
_LOWEST_PX = 360  # for the legend


def timeline_figure(trials: Sequence[Trial], now: float) -> str:
    """One row for each worker, one bar for each attempt; and how long attempts waited, one row for each queue.

    ``now`` (seconds since the epoch) ends the bars of what still waits or runs. Of a long study the newest attempts.
    """
    newest = sorted(filter(_seen_at, trials), key=_seen_at)[-_MOST_BARS:]
    ran = [trial for trial in newest if trial.started_at is not None]
    waited = [trial for trial in newest if trial.queued_at is not None]
    traces = (
        [_bars("waited", waited, _waiting_row, _wait, now, COLOURS[TrialState.QUEUED], opacity=0.5)] if waited else []
    )
    traces += [_bars(state.value, those, _row, _run, now, COLOURS[state]) for state, those in by_state(ran).items()]
    if not traces:
        return ""
    rows = sorted({_row(trial) for trial in ran}, reverse=True) + sorted({_waiting_row(trial) for trial in waited})
    return _by_row(traces, rows, "slots: what ran where, and when")


def usage_figure(studies: Mapping[str, Sequence[Trial]], now: float) -> str:
    """One row for each worker, one bar for each attempt, coloured by study: how the studies shared the workers."""
    ran = sorted(
        ((trial.started_at, name, trial) for name, trials in studies.items() for trial in trials if trial.started_at),
        key=lambda each: each[0],
    )[-_MOST_BARS:]
    if not ran:
        return ""
    traces = [
        _bars(name, [trial for _, study, trial in ran if study == name], _row, _run, now, colour)
        for name, colour in zip(studies, itertools.cycle(SERIES), strict=False)
    ]
    rows = sorted({_row(trial) for _, _, trial in ran}, reverse=True)
    return _by_row([trace for trace in traces if trace["y"]], rows, "workers: which study they ran, and when")


def _by_row(traces: Sequence[dict[str, Any]], rows: Sequence[str], title: str) -> str:
    return figure(
        traces,
        title=title,
        barmode="overlay",
        xaxis={"type": "date", "title": "UTC"},
        yaxis={"type": "category", "categoryorder": "array", "categoryarray": rows, "automargin": True},
        height=max(_LOWEST_PX, 160 + _ROW_PX * len(rows)),
    )


def _seen_at(trial: Trial) -> float:
    """When it was last put somewhere; 0 if it never was."""
    return trial.started_at or trial.queued_at or 0


def _row(trial: Trial) -> str:
    """The worker; of one of a controller's own machine without the controller's name."""
    return re.sub(r":local-[^:]+(?=:)", "", trial.worker) or "?"


def _waiting_row(trial: Trial) -> str:
    return f"in queue {trial.queue}" if trial.queue else "in the queue"


def _run(trial: Trial, now: float) -> tuple[float, float]:
    return trial.started_at or now, trial.ended_at or now


def _wait(trial: Trial, now: float) -> tuple[float, float]:
    return trial.queued_at or now, trial.started_at or trial.ended_at or now


def _bars(
    name: str,
    trials: Sequence[Trial],
    row: Callable[[Trial], str],
    span: Callable[[Trial, float], tuple[float, float]],
    now: float,
    colour: str,
    opacity: float = 1.0,
) -> dict[str, Any]:
    spans = [span(trial, now) for trial in trials]
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "y": [row(trial) for trial in trials],
        "base": [_utc(start) for start, _ in spans],
        "x": [max(0, round((end - start) * 1000)) for start, end in spans],
        "text": [f"trial {trial.number}" + f", attempt {trial.attempt}" * (trial.attempt > 1) for trial in trials],
        "textposition": "none",
        "hovertemplate": "%{text}<br>%{base|%H:%M:%S} to %{x|%H:%M:%S}",
        "marker": {
            "color": colour,
            "opacity": opacity,
            "line": {"color": "white", "width": 1 if len(trials) <= _MOST_OUTLINED else 0},
        },
    }


def _utc(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
