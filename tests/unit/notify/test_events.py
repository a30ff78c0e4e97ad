"""What happens in a study that is worth a message."""

from __future__ import annotations

import json

import pytest

from clearml_hpo.core.goal import Goal, MetricConstraint, Objective
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.notify.events import About, Events, described

ABOUT = About("tune", "3f9c", "vision", "http://web/3f9c")
ALL = {"ended": 0.0, "failed": 0.0, "best": 0.0, "failures": 3, "no_worker": 600.0}
LOSS = Objective("validation", "loss")
SINGLE = Goal((LOSS,))


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def completed(number, *values, violations=()):
    return Trial(number, {"General/x": 0.5}, f"task{number}", 1, TrialState.COMPLETED, values, violations)


def ended(number, state, reason="boom"):
    return Trial(number, {}, f"task{number}", 1, state, reason=reason)


def running(number=0):
    return Trial(number, {}, "task", state=TrialState.RUNNING)


def queued(number=0):
    return Trial(number, {}, "task")


def test_a_better_value_is_told_and_a_worse_or_equal_one_is_not(clock):
    events = Events(ALL, ABOUT, SINGLE, (), clock=clock)
    events.trial(completed(0, 0.5))
    (first,) = events.due()
    assert (first.event, first.title) == ("best", "tune: new best 0.5")
    assert first.facts["best"] == {
        "trial": 0,
        "task": "task0",
        "values": {"validation/loss": 0.5},
        "parameters": {"General/x": 0.5},
    }
    clock.now += 100
    for trial in (completed(1, 0.5), completed(2, 0.7), running(3)):
        events.trial(trial)
        assert events.due() == []
    events.trial(completed(4, 0.4))
    assert [message.title for message in events.due()] == ["tune: new best 0.4"]


def test_what_breaks_a_constraint_is_no_best(clock):
    goal = Goal((LOSS,), (MetricConstraint("perf", "ms", high=1.0),))
    events = Events(ALL, ABOUT, goal, (), clock=clock)
    events.trial(completed(0, 0.1, violations=(3.0,)))
    assert events.due() == []
    events.trial(completed(1, 0.2, violations=(-1.0,)))
    assert [message.facts["best"]["trial"] for message in events.due()] == [1]


def test_the_best_is_told_once_a_minute_and_then_the_latest(clock):
    events = Events(ALL, ABOUT, SINGLE, (), clock=clock)
    told = []
    for number in range(100):  # a trial a second, each better than the one before
        events.trial(completed(number, 1.0 - number / 200))
        told += [(message.facts["best"]["trial"], number) for message in events.due()]
        clock.now += 1
    assert told == [(0, 0), (60, 60)]
    events.ended("completed", "done")
    assert [(m.event, m.facts["best"]["trial"]) for m in events.due()] == [("best", 99), ("ended", 99)]


def test_what_an_earlier_controller_has_told_is_no_news(clock):
    events = Events(ALL, ABOUT, SINGLE, [completed(3, 0.5), ended(4, TrialState.FAILED)], clock=clock)
    events.trial(completed(5, 0.5))
    assert events.due() == []
    events.trial(completed(6, 0.4))
    assert [message.event for message in events.due()] == ["best"]


def test_of_several_objectives_new_points_of_the_front_are_told(clock):
    goal = Goal((LOSS, Objective("size", "mb")))
    events = Events(ALL, ABOUT, goal, (), clock=clock)
    events.trial(completed(0, 0.5, 10.0))
    (first,) = events.due()
    assert first.title == "tune: new point on the Pareto front" and "the front has 1" in first.text
    clock.now += 100
    events.trial(completed(1, 0.6, 11.0))
    assert events.due() == [], "it is worse in both"
    events.trial(completed(2, 0.6, 9.0))
    (second,) = events.due()
    assert "size/mb = 9; the front has 2" in second.text


def test_failures_in_a_row_are_told_once_a_streak(clock):
    events = Events(ALL, ABOUT, SINGLE, (), clock=clock)

    def told(*trials):
        clock.now += 100
        for trial in trials:
            events.trial(trial)
        return [message.title for message in events.due() if message.event == "failures"]

    failed = ended(1, TrialState.FAILED)
    assert told(failed, failed) == []
    assert told(ended(2, TrialState.ABORTED), ended(2, TrialState.STOPPED)) == [], "a user's own doing is no failure"
    assert told(ended(3, TrialState.LOST)) == ["tune: 3 failures in a row"]
    assert told(failed, failed, failed) == []
    assert told(completed(4, 0.5), failed, failed) == []
    assert told(ended(5, TrialState.PRUNED), failed, failed, failed) == ["tune: 3 failures in a row"]


def test_a_study_without_worker_is_told_once_until_one_comes(clock):
    events = Events(ALL, ABOUT, SINGLE, (), clock=clock)

    def told(seconds, workers, *trials):
        clock.now += seconds
        events.progress(trials, workers)
        return [message.text for message in events.due()]

    assert told(0, {}) == []
    assert told(599, {"gpu": 0}, queued()) == []
    assert told(1, {"gpu": 0}, queued()) == [
        "No worker has served the study's queues (gpu) for 10:00; its trials wait."
    ]
    assert told(5000, {"gpu": 0}, queued()) == []
    assert told(1, {"gpu": 0}, running()) == [], "what runs has a worker"
    assert told(599, {"gpu": 0}, queued()) == []
    assert told(1, {"gpu": 1}, queued()) == []
    assert len(told(600, {"gpu": 0}, queued())) == 1


@pytest.mark.parametrize(("status", "event"), [("completed", "ended"), ("stopped", "ended"), ("failed", "failed")])
def test_the_end_is_told_with_its_reason_and_the_best(clock, status, event):
    events = Events(ALL, ABOUT, SINGLE, [completed(3, 0.25)], clock=clock)
    events.ended(status, "the first line\nthe log of the script, which is long")
    (message,) = events.due()
    assert (message.event, message.title) == (event, f"tune: {status}")
    assert message.lines == "the first line\nbest: trial 3, validation/loss = 0.25\nhttp://web/3f9c"
    said = json.loads(message.json)
    assert said["status"] == status and said["reason"] == "the first line"
    assert said["trials"] == {"completed": 1} and said["best"]["trial"] == 3
    assert (said["study"], said["study_id"], said["project"]) == ("tune", "3f9c", "vision")
    assert said["at"] == "1970-01-12T13:46:40+00:00"


def test_what_is_not_wanted_is_not_told(clock):
    events = Events({"best": 0.0}, ABOUT, SINGLE, (), clock=clock)
    for number in range(5):
        events.trial(ended(number, TrialState.FAILED))
    events.progress([], {})
    clock.now += 1e6
    events.progress([], {})
    events.ended("failed", "x")
    assert events.due() == []


def test_events_are_described_as_they_are_written():
    assert described(ALL) == "ended, failed, best, failures: 3, no_worker: 600s"
