"""What is sent to the controller task, and how often."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import yaml

from clearml_hpo.core.best_effort import BestEffort
from clearml_hpo.core.errors import ApiError, ServerError
from clearml_hpo.core.trial import TrialState
from clearml_hpo.report import Publisher, figures
from clearml_hpo.report import publisher as publisher_module
from clearml_hpo.testing import ManualClock
from clearml_hpo.testing.executor_contract import eventually

from .study import LOSS, SPACE, TWO, study, trial

TRIALS = [
    trial(0, 0.5),
    trial(1, 0.3),
    trial(2, state=TrialState.FAILED),
    trial(3, 0.2, TrialState.PRUNED),
    trial(4, 0.4),
    trial(5, math.nan, TrialState.NOT_FINITE),
]


class Recorder:
    """Stands in for the controller task, whose calls are tried against a server in the integration tests."""

    def __init__(self):
        self.reports, self.properties, self.tagged, self.artifacts, self.logs = [], [], [], [], []
        self.configuration = {}
        self.failing = set()

    def _may_fail(self, name):
        if name in self.failing:
            raise ServerError(name) if name == "upload_artifact" else ApiError(name, 500, 0, "in trouble")

    def report(self, *, scalars=(), plots=None, log=()):
        self._may_fail("report")
        if log:
            self.logs += [text for _, text in log]
        else:
            self.reports.append((list(scalars), dict(plots or {})))

    def set_properties(self, **texts):
        self._may_fail("set_properties")
        self.properties.append(texts)

    def set_configuration(self, **texts):
        self._may_fail("set_configuration")
        self.configuration |= texts

    def tag_best(self, task_ids):
        self._may_fail("tag_best")
        self.tagged.append(list(task_ids))

    def upload_artifact(self, name, text, file_name):
        self._may_fail("upload_artifact")
        self.artifacts.append((name, text, file_name))

    def scalars(self, series):
        return [(i, v) for scalars, _ in self.reports for _, s, i, v in scalars if s == series]


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def task():
    return Recorder()


def publisher_for(task, clock, goal=LOSS, **options):
    effort = BestEffort(task.logs.append)
    url_of = "http://x/{0.task_id}".format
    options = {"start": lambda draw: draw(), **options}
    return Publisher(task, goal, url_of, effort, clock=clock, period_s=30, space=SPACE, **options)


def test_reports_are_rare_and_say_each_value_once(task, clock):
    publisher = publisher_for(task, clock)
    publisher.publish([])
    assert task.reports == [], "nothing ended, nothing to say"
    publisher.publish(TRIALS[:1])
    publisher.publish(TRIALS[:2])
    assert len(task.reports) == 1
    clock.advance(31)
    publisher.publish(TRIALS[:2])
    clock.advance(31)
    publisher.publish(TRIALS[:2])
    assert len(task.reports) == 2
    publisher.publish(TRIALS, final=True)
    assert task.scalars("loss") == [(0, 0.5), (1, 0.3), (4, 0.4)]


def test_the_lists_of_studies_follow_three_times_as_often(task, clock):
    publisher = publisher_for(task, clock, start=lambda draw: None)
    publisher.publish([], remaining={})
    publisher.publish(TRIALS[:1])
    assert task.properties == [{"trials": "0"}]
    publisher.budget = 6
    clock.advance(11)
    publisher.publish(TRIALS[:2])
    assert task.properties[1:] == [{"trials": "2/6", "best_value": 0.3, "best_trial": 1}], "plots are still drawn"
    clock.advance(11)
    publisher.publish(TRIALS[:2])
    assert len(task.properties) == 2, "nothing has changed"
    publisher.publish(TRIALS[:3])
    publisher.publish(TRIALS, final=True)
    assert task.properties[2:] == [{"trials": "6/6", "best_value": 0.3, "best_trial": 1}], "the end is not waited for"


def small(count):
    return [trial(number, 1.0) for number in range(count)]


def test_the_more_trials_the_rarer_the_reports(task, clock):
    publisher = publisher_for(task, clock)
    publisher.publish(small(500))
    clock.advance(149)
    publisher.publish(small(501))
    assert len(task.reports) == 1
    clock.advance(2)
    publisher.publish(small(501))
    assert len(task.reports) == 2
    clock.advance(301)
    publisher.publish(small(2_000))
    clock.advance(301)
    publisher.publish(small(2_001))
    assert len(task.reports) == 4, "never more than five minutes"


def test_plots_are_drawn_elsewhere_and_sent_when_they_are_done(task, clock):
    begun = []
    publisher = publisher_for(task, clock, start=begun.append)
    publisher.publish(TRIALS[:1])
    clock.advance(31)
    publisher.publish(TRIALS[:2])
    assert len(begun) == 1 and not task.reports, "one after the other"
    begun[0]()
    publisher.publish(TRIALS[:3])
    assert task.scalars("loss") == [(0, 0.5)] and task.tagged == [["task-0"]], "as it was when they were begun"
    clock.advance(31)
    publisher.publish(TRIALS[:3])
    publisher.publish(TRIALS, final=True)
    assert len(begun) == 2 and task.scalars("loss") == [(0, 0.5), (1, 0.3), (4, 0.4)], "the last are waited for"
    begun[1]()
    publisher.publish(TRIALS)
    assert len(task.reports) == 2, "what is out of date is not sent"


def test_a_thread_draws_them_and_what_fails_there_is_said(task, clock, monkeypatch):
    monkeypatch.setattr(publisher_module, "importances_of_all", lambda *_: {}["no"])
    publisher = publisher_for(task, clock, start=publisher_module.in_a_thread)
    publisher.publish(study(30))
    eventually(lambda: publisher.publish(study(30)) or task.reports, "they are drawn")
    assert task.logs == ["the plot 'importances/parameters' is missing: KeyError: 'no'"]
    ((_, plots),) = task.reports
    assert ("slices", "validation/loss") in plots, "without the importances"


def test_only_plots_that_changed_are_sent(task, clock):
    publisher = publisher_for(task, clock)
    publisher.publish(TRIALS[:3], remaining={"trials": "3 of 6"})
    first = task.reports[0][1]
    assert {title for title, _ in first} == {
        "summary",
        "optimization history",
        "parallel coordinates",
        "slices",
        "timeline",
    }
    clock.advance(31)
    publisher.publish(TRIALS[:4], remaining={"trials": "3 of 6"})
    assert {title for title, _ in task.reports[1][1]} == {"summary", "optimization history", "timeline"}
    assert ("summary", "budget") not in task.reports[1][1]


def test_a_call_that_failed_is_made_again(task, clock):
    publisher = publisher_for(task, clock)
    for call in ("set_properties", "report", "tag_best", "set_configuration"):
        task.failing = {call}
        with pytest.raises(ApiError):
            publisher.publish(TRIALS, final=True)
    task.failing = set()
    publisher.publish(TRIALS, final=True)
    assert task.scalars("loss") == [(0, 0.5), (1, 0.3), (4, 0.4)]
    assert task.properties[-1] == {"trials": "6", "best_value": 0.3, "best_trial": 1}
    assert task.tagged[-1] == ["task-1"] and "best" in task.configuration and len(task.artifacts) == 1


def test_a_file_server_in_trouble_is_no_reason_to_fail(task, clock):
    task.failing = {"upload_artifact"}
    publisher_for(task, clock).publish(TRIALS, final=True)
    assert task.logs == ["the artifact best is missing: upload_artifact"] and task.configuration["best"]


def test_a_figure_that_cannot_be_drawn_keeps_no_other_away(task, clock, monkeypatch):
    monkeypatch.setattr(figures, "slice_figure", lambda *_: {}["auto"])
    publisher = publisher_for(task, clock)
    publisher.publish(TRIALS[:1])
    clock.advance(31)
    publisher.publish(TRIALS, final=True)
    assert task.logs == ["the plot 'slices/validation/loss' is missing: KeyError: 'auto'"], "it is said once"
    assert ("parallel coordinates", "validation/loss") in task.reports[1][1]
    assert task.scalars("loss") == [(0, 0.5), (1, 0.3), (4, 0.4)] and len(task.artifacts) == 1


def test_a_report_that_is_refused_leaves_the_best_marked_and_is_made_again(task, clock, monkeypatch):
    refused = ApiError("events.add_batch", 400, 131, "no")
    monkeypatch.setattr(task, "report", lambda **_: (_ for _ in ()).throw(refused), raising=True)
    publisher = publisher_for(task, clock)
    publisher.publish(TRIALS[:2])
    assert task.logs == [f"the report is behind: {refused}"] and task.tagged == [["task-1"]]
    monkeypatch.undo()
    clock.advance(31)
    publisher.publish(TRIALS[:2])
    assert task.scalars("loss") == [(0, 0.5), (1, 0.3)]


def test_the_best_is_pointed_out_when_it_changes(task, clock):
    publisher = publisher_for(task, clock, budget=6)
    publisher.publish(TRIALS[:1])
    clock.advance(31)
    publisher.publish(TRIALS[:2])
    clock.advance(31)
    publisher.publish(TRIALS[:5])
    assert task.tagged == [["task-0"], ["task-1"]]
    assert [p["trials"] for p in task.properties] == ["1/6", "2/6", "5/6"]
    assert not task.artifacts, "that is left for the end"
    publisher.publish(TRIALS, final=True)
    ((name, text, file_name),) = task.artifacts
    assert (name, file_name) == ("best", "best.yaml") and text == task.configuration["best"]
    assert text.splitlines()[0] == "# trial 1 (task task-1): validation/loss = 0.3"
    assert yaml.safe_load(text) == TRIALS[1].params


def test_the_whole_pareto_front_is_tagged(task, clock):
    trials = [trial(0, (1.0, 5.0)), trial(1, (2.0, 4.0)), trial(2, (3.0, 9.0))]
    publisher_for(task, clock, TWO).publish(trials, final=True)
    assert task.tagged == [["task-0", "task-2"]]
    assert task.scalars("loss") == [(0, 1.0), (1, 2.0), (2, 3.0)]
    assert task.scalars("rows/s") == [(0, 5.0), (1, 4.0), (2, 9.0)]
    assert ("Pareto front", "all objectives") in task.reports[0][1]


def test_a_study_without_a_value_still_reports_its_table(task, clock):
    publisher_for(task, clock).publish([trial(0, state=TrialState.FAILED)], final=True)
    ((scalars, plots),) = task.reports
    assert scalars == [] and set(plots) == {("summary", "trials"), ("timeline", "slots")}
    assert task.properties == [{"trials": "1"}] and not task.tagged


def test_intermediate_values_are_asked_for_once_and_of_a_hundred_trials(task, clock):
    asked = []

    def histories(task_ids):
        asked.append(list(task_ids))
        return {task_id: [(1, 0.9), (2, 0.5)] for task_id in task_ids}

    trials = study(300)
    publisher = publisher_for(task, clock, histories=histories)
    publisher.publish(trials)
    assert not asked
    publisher.publish(trials, final=True)
    assert [len(ids) for ids in asked] == [100]
    best = min((t for t in trials if t.final_values), key=lambda t: t.values[0])
    assert best.task_id in asked[0]
    assert ("intermediate values", "trials") in task.reports[-1][1]


def test_of_very_long_trials_fewer_curves_are_fetched(task, clock):
    asked = []
    trials = [replace(t, iteration=10_000) for t in study(300)]
    publisher_for(task, clock, histories=lambda ids: asked.append(ids) or {}).publish(trials, final=True)
    assert [len(ids) for ids in asked] == [20]
    assert ("intermediate values", "trials") not in task.reports[-1][1]
