"""Trials as rows of a table: one flat mapping each, for a data frame or a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeAlias

from clearml_hpo.core.csv_cells import cell
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial

if TYPE_CHECKING:
    import pandas

Row: TypeAlias = Mapping[str, Any]

TIMES = ("queued_at", "started_at", "ended_at")


def columns_of(goal: Goal, params: Iterable[str]) -> list[str]:
    """Names of the columns: what a trial is, its value by metric, its parameters, and how it went."""
    return [
        "number",
        "attempt",
        "state",
        *(objective.metric for objective in goal.objectives),
        *(["is_feasible"] if goal.constraints else []),
        *(f"params.{name}" for name in params),
        "iteration",
        "queue",
        "worker",
        *TIMES,
        "duration_s",
        "reason",
        "task_id",
        "url",
    ]


def rows_of(
    trials: Iterable[Trial], goal: Goal, params: Sequence[str], url_of: Callable[[Trial], str]
) -> list[dict[str, Any]]:
    """A row for each trial, with the columns of :func:`columns_of`; times are ISO 8601 in UTC, what is not is None."""
    return [_row(trial, goal, params, url_of(trial)) for trial in trials]


def data_frame(rows: Iterable[Row], columns: Sequence[str]) -> pandas.DataFrame:
    """The rows as a pandas data frame, times in UTC. Raises ImportError: pandas is not installed."""
    try:
        import pandas
    except ImportError:
        raise ImportError("trials_dataframe needs pandas: pip install 'clearml-hpo[pandas]'") from None
    frame: pandas.DataFrame = pandas.DataFrame.from_records([*rows], columns=[*columns])
    for column in TIMES:
        frame[column] = pandas.to_datetime(frame[column], utc=True, format="ISO8601")
    return frame


def to_csv(rows: Iterable[Row], columns: Sequence[str]) -> str:
    """The rows as CSV with a heading, safe to open in a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([cell(column) for column in columns])
    writer.writerows([cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue()


def iso(epoch: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC, to the millisecond."""
    if epoch is None:
        return None
    return datetime.fromtimestamp(epoch, timezone.utc).isoformat(timespec="milliseconds")


def _row(trial: Trial, goal: Goal, params: Sequence[str], url: str) -> dict[str, Any]:
    values = dict.fromkeys(objective.metric for objective in goal.objectives)
    values.update(zip(values, trial.values, strict=False))
    cells = {
        "number": trial.number,
        "attempt": trial.attempt,
        "state": trial.state.value,
        **values,
        "is_feasible": trial.is_feasible,
        **{f"params.{name}": trial.params.get(name) for name in params},
        "iteration": trial.iteration,
        "queue": trial.queue,
        "worker": trial.worker,
        "queued_at": iso(trial.queued_at),
        "started_at": iso(trial.started_at),
        "ended_at": iso(trial.ended_at),
        "duration_s": None if trial.duration is None else round(trial.duration, 3),
        "reason": trial.reason,
        "task_id": trial.task_id,
        "url": url,
    }
    return {column: cells[column] for column in columns_of(goal, params)}
