"""The result of a run as plain data, ready for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial, best_trial, pareto_front
from clearml_hpo.core.values import Value, as_text


def study_result(
    *,
    study: str,
    study_id: str,
    goal: Goal,
    trials: Sequence[Trial],
    earlier: Sequence[Trial] = (),
    status: str,
    reason: str,
    api_calls: Mapping[str, int],
    wall_s: float,
) -> dict[str, Any]:
    """Everything about a run; times are ISO 8601 in UTC, values that are not finite are null.

    Args:
        study_id: id of the controller task, which is the study's.
        earlier: attempts that were followed by another one.
    """
    best = best_trial(trials, goal)
    return {
        "study": study,
        "study_id": study_id,
        "controller_task_id": study_id,
        "status": status,
        "reason": reason,
        "best": best and _point(best, goal),
        "pareto_front": [_point(trial, goal) for trial in pareto_front(trials, goal)],
        "trials": [_trial(trial, goal) for trial in trials],
        "attempts": [_trial(trial, goal) for trial in earlier],
        "api_calls": dict(sorted(api_calls.items())),
        "wall_s": round(wall_s, 3),
    }


def _point(trial: Trial, goal: Goal) -> dict[str, Any]:
    return {
        "number": trial.number,
        "task_id": trial.task_id,
        "value": trial.value,
        "values": _values(trial, goal),
        "params": _params(trial),
    }


def _trial(trial: Trial, goal: Goal) -> dict[str, Any]:
    return {
        "number": trial.number,
        "attempt": trial.attempt,
        "task_id": trial.task_id,
        "state": trial.state.value,
        "value": _finite(trial.value),
        "values": _values(trial, goal),
        "is_feasible": trial.is_feasible,
        "params": _params(trial),
        "queued_at": _iso(trial.queued_at),
        "started_at": _iso(trial.started_at),
        "ended_at": _iso(trial.ended_at),
        "queue": trial.queue,
        "worker": trial.worker,
        "reason": trial.reason,
        **({"length": trial.length, "continues": trial.continues} if trial.length else {}),
    }


def _values(trial: Trial, goal: Goal) -> dict[str, float | None]:
    """By metric; nothing for a trial that never reported any."""
    return {o.metric: _finite(value) for o, value in zip(goal.objectives, trial.values, strict=False)}


def _params(trial: Trial) -> dict[str, Value]:
    """As they are; an infinite number as text."""
    return {
        name: as_text(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in trial.params.items()
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _iso(epoch: float | None) -> str | None:
    return None if epoch is None else datetime.fromtimestamp(epoch, timezone.utc).isoformat()
