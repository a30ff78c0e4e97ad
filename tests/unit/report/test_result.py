"""The result as plain data."""

from __future__ import annotations

import json
import math

from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.report import study_result

LOSS = Goal((Objective("validation", "loss"),))


def trial(number, value, state=TrialState.COMPLETED, **params):
    params = params or {"General/x": number / 10, "General/kind": "ab"[number % 2]}
    return Trial(
        number, params, f"task-{number}", state=state, values=(value,), queued_at=0.0, started_at=1.5, ended_at=4.0
    )


TRIALS = [
    trial(0, 0.5),
    trial(1, 0.3),
    trial(2, None, TrialState.FAILED),
    trial(3, 0.2, TrialState.PRUNED),
    trial(4, 0.4),
    trial(5, math.nan, TrialState.NOT_FINITE),
]


def result(trials=TRIALS):
    return study_result(
        study="s",
        study_id="c",
        goal=LOSS,
        trials=trials,
        earlier=[trial(2, None, TrialState.LOST)],
        status="completed",
        reason="all 6 trials of the budget have ended",
        api_calls={"b.b": 2, "a.a": 1},
        wall_s=1.23456,
    )


def test_the_result_has_what_is_promised():
    data = json.loads(json.dumps(result(), allow_nan=False))
    assert data["best"] == {
        "number": 1,
        "task_id": "task-1",
        "value": 0.3,
        "values": {"validation/loss": 0.3},
        "params": TRIALS[1].params,
    }
    assert data["pareto_front"] == [data["best"]]
    assert (data["study_id"], data["controller_task_id"], data["status"]) == ("c", "c", "completed")
    assert [(attempt["number"], attempt["state"]) for attempt in data["attempts"]] == [(2, "lost")]
    assert data["trials"][1] == {
        "number": 1,
        "attempt": 1,
        "task_id": "task-1",
        "state": "completed",
        "value": 0.3,
        "values": {"validation/loss": 0.3},
        "is_feasible": True,
        "params": TRIALS[1].params,
        "queued_at": "1970-01-01T00:00:00+00:00",
        "started_at": "1970-01-01T00:00:01.500000+00:00",
        "ended_at": "1970-01-01T00:00:04+00:00",
        "queue": "",
        "worker": "",
        "reason": "",
    }
    assert data["trials"][5]["value"] is None
    assert list(data["api_calls"]) == ["a.a", "b.b"]
    assert data["wall_s"] == 1.235


def test_a_result_without_a_best():
    assert result([trial(0, None, TrialState.FAILED)])["best"] is None
