"""The result of a run as plain data, ready for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from clearml_hpo.objective import Objective
from clearml_hpo.trial import Trial, best_trial


def study_result(
    *,
    study: str,
    controller_task_id: str,
    objective: Objective,
    trials: Sequence[Trial],
    api_calls: Mapping[str, int],
    wall_s: float,
) -> dict[str, Any]:
    """Everything about a run; times are ISO 8601 in UTC, values that are not finite are null."""
    best = best_trial(trials, objective)
    return {
        "study": study,
        "controller_task_id": controller_task_id,
        "best": best
        and {"number": best.number, "task_id": best.task_id, "value": best.value, "params": dict(best.params)},
        "trials": [_trial(trial) for trial in trials],
        "api_calls": dict(sorted(api_calls.items())),
        "wall_s": round(wall_s, 3),
    }


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "attempt": trial.attempt,
        "task_id": trial.task_id,
        "state": trial.state.value,
        "value": trial.value if trial.value is not None and math.isfinite(trial.value) else None,
        "params": dict(trial.params),
        "queued_at": _iso(trial.queued_at),
        "started_at": _iso(trial.started_at),
        "ended_at": _iso(trial.ended_at),
        "worker": trial.worker,
        "reason": trial.reason,
    }


def _iso(epoch: float | None) -> str | None:
    return None if epoch is None else datetime.fromtimestamp(epoch, timezone.utc).isoformat()
