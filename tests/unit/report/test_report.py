"""Result, figures, and how often they are sent."""

from __future__ import annotations

import json
import math

from clearml_hpo.objective import Goal, Objective
from clearml_hpo.report import Publisher, study_result
from clearml_hpo.report.figures import history_figure, parallel_figure, ranking, table_figure
from clearml_hpo.testing import ManualClock
from clearml_hpo.trial import Trial, TrialState

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


def test_ranking_has_completed_trials_first_and_the_best_on_top():
    assert [t.number for t in ranking(TRIALS, LOSS)] == [1, 4, 0, 2, 3, 5]
    assert [t.number for t in ranking(TRIALS, Goal((Objective("a", "b", "maximize"),)))][:3] == [0, 4, 1]


def test_history_shows_the_best_so_far():
    points, line = json.loads(history_figure(TRIALS, LOSS))["data"]
    assert points["x"] == [0, 1, 4] and points["y"] == [0.5, 0.3, 0.4]
    assert line["y"] == [0.5, 0.3, 0.3]


def test_the_table_links_every_trial():
    table = json.loads(table_figure(TRIALS, LOSS, lambda t: f"http://x/{t.task_id}"))["data"][0]
    assert table["header"]["values"] == ["trial", "validation/loss", "state", "General/kind", "General/x"]
    assert table["cells"]["values"][0][0] == '<a href="http://x/task-1">1</a>'


def test_parallel_coordinates_spread_texts_over_an_axis():
    dimensions = json.loads(parallel_figure(TRIALS, LOSS))["data"][0]["dimensions"]
    kind = next(d for d in dimensions if d["label"] == "General/kind")
    assert kind["ticktext"] == ["a", "b"] and kind["values"] == [0, 1, 0]
    assert dimensions[-1] == {"label": "validation/loss", "values": [0.5, 0.3, 0.4]}


class Recorder:
    """Stands in for the controller task."""

    def __init__(self):
        self.sent = []

    def report(self, *, scalars=(), plots=None, log=""):
        self.sent.append((list(scalars), dict(plots or {})))


def test_reports_are_rare_and_say_each_value_once():
    clock, task = ManualClock(), Recorder()
    publisher = Publisher(task, LOSS, lambda t: "", clock=clock, period_s=30)
    publisher.publish([])
    assert task.sent == [], "nothing ended, nothing to say"
    publisher.publish(TRIALS[:1])
    publisher.publish(TRIALS[:2])
    assert len(task.sent) == 1
    clock.advance(31)
    publisher.publish(TRIALS[:2])
    clock.advance(31)
    publisher.publish(TRIALS[:2])
    assert len(task.sent) == 2
    publisher.publish(TRIALS, final=True)
    values = [(series, iteration, value) for scalars, _ in task.sent for title, series, iteration, value in scalars]
    assert [v for v in values if v[0] == "loss"] == [("loss", 0, 0.5), ("loss", 1, 0.3), ("loss", 4, 0.4)]


def test_a_study_without_a_value_still_reports_its_table():
    task = Recorder()
    Publisher(task, LOSS, lambda t: "", clock=ManualClock()).publish([trial(0, None, TrialState.FAILED)], final=True)
    ((scalars, plots),) = task.sent
    assert scalars == [] and set(plots) == {("summary", "trials")}
