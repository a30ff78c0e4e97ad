"""Between two controllers of one study, and what a study survives: refused reports, a first run that fails."""

from __future__ import annotations

import threading
import uuid

import pytest

from clearml_hpo.backend.controller_task import ControllerTask
from clearml_hpo.backend.lease import Lease
from clearml_hpo.controller import reports as reports_module
from clearml_hpo.controller.launch import launch_study
from clearml_hpo.core.errors import ApiError, HeldError, InputError, StudyError
from clearml_hpo.core.trial import TrialState
from clearml_hpo.study_file import load_study
from clearml_hpo.testing import PlayedAgent

from .conftest import CONNECTS, quadratic
from .driving import Listener, resume, run


def status_of(api, task_id):
    return api.call("tasks.get_by_id", task=task_id)["task"]["status"]


class When(Listener):
    """Does something once, when a trial is in a state."""

    def __init__(self, number, state, action):
        super().__init__()
        self._when, self._action = (number, state), action

    def trial(self, trial):
        super().trial(trial)
        if (trial.number, trial.state) == self._when and self._action is not None:
            action, self._action = self._action, None
            action(trial)


def endless(params):
    yield from quadratic(params)
    for _ in range(500):
        yield {"validation/loss": 1.0, "train/loss": 0.0}


@pytest.mark.long
def test_a_displaced_controller_that_comes_to_its_end_leaves_the_study_running(study_file, api, agent):
    study_id = run(study_file, api).result["study_id"]
    successor = Lease(api, study_id)
    view = When(7, TrialState.COMPLETED, lambda trial: successor._task.set(holder=successor.me))
    run(study_file, api, view=view, overrides=["budget.trials=8"])
    assert status_of(api, study_id) == "in_progress"
    assert successor.renew(at_once=True).stop == ""


@pytest.mark.long
def test_a_controller_that_was_cut_off_from_the_server_goes_on_with_its_study(study_file, api, agent):
    study_id = run(study_file, api).result["study_id"]
    lease = Lease(api, study_id)
    lease.acquire()
    api.call("tasks.stopped", task=study_id, force=True, status_reason="stopped as non-responsive")
    assert lease.renew(at_once=True).stop == ""
    assert status_of(api, study_id) == "in_progress"
    api.call("tasks.stopped", task=study_id, force=True, status_reason="by ada")
    assert lease.renew(at_once=True).stop == "abort"


@pytest.mark.long
def test_a_displaced_controller_that_is_interrupted_stops_nothing(study_file, api, queue):
    with PlayedAgent(quadratic, queue=queue, connects=CONNECTS):
        study_id = run(study_file, api, overrides=["budget.trials=2"]).result["study_id"]
    successor, stopped, seen = Lease(api, study_id), threading.Event(), []

    def displace(trial):
        seen.append(trial.task_id)
        successor._task.set(holder=successor.me)
        stopped.set()

    view = When(2, TrialState.RUNNING, displace)
    with PlayedAgent(endless, queue=queue, connects=CONNECTS, step_s=0.02):
        with pytest.raises(HeldError, match="was taken over"):
            run(study_file, api, view=view, stopped=stopped, overrides=["budget.trials=6"])
        assert status_of(api, seen[0]) == "in_progress"
        assert status_of(api, study_id) == "in_progress"


@pytest.mark.long
@pytest.mark.parametrize("connects", [{}, CONNECTS])
def test_a_first_run_that_was_stopped_is_begun_again(study_file, api, queue, connects):
    stopped, good = threading.Event(), threading.Event()

    def training(params):
        if not good.is_set():
            stopped.set()
            for _ in range(200):
                yield {}
        yield from quadratic(params)

    with PlayedAgent(training, queue=queue, connects=connects, step_s=0.02) as agent:
        assert run(study_file, api, stopped=stopped).status == "stopped"
        good.set()
        agent._connects = dict(CONNECTS)
        second = run(study_file, api)
    assert second.trials[0].state is TrialState.COMPLETED and second.trials[0].attempt == 2
    assert len(second.trials) == 6


@pytest.mark.long
def test_a_first_run_that_is_left_is_taken_up(study_file, api, queue):
    stopped, good = threading.Event(), threading.Event()

    def training(params):
        stopped.set()
        while not good.is_set():
            yield {}
        yield from quadratic(params)

    with PlayedAgent(training, queue=queue, connects=CONNECTS, step_s=0.02) as agent:
        first = run(study_file, api, stopped=stopped, aborts=lambda: False)
        (left,) = [trial.task_id for trial in first.trials]
        assert (first.status, status_of(api, left)) == ("stopped", "in_progress")
        good.set()
        second = run(study_file, api)
    assert [trial.attempt for trial in second.trials] == [1] * 6 and second.trials[0].task_id == left
    assert len(agent.ran) == 6


@pytest.mark.long
def test_a_first_run_that_failed_is_begun_again(study_file, api, queue):
    good = threading.Event()

    def training(params):
        if not good.is_set():
            raise RuntimeError("disk full")
        yield from quadratic(params)

    with PlayedAgent(training, queue=queue) as agent:
        with pytest.raises(StudyError, match="disk full"):
            run(study_file, api)
        good.set()
        agent._connects = dict(CONNECTS)
        assert run(study_file, api).status == "completed"


@pytest.mark.long
def test_a_launched_study_has_a_baseline(study_file, api, agent):
    first = run(study_file, api)
    waits_in = f"controllers-{uuid.uuid4().hex[:6]}"
    api.call("queues.create", name=waits_in)
    launched = launch_study(api, load_study(study_file), waits_in, new=True)
    assert resume(launched.study_id, api).trials[0].params == first.trials[0].params


@pytest.mark.parametrize("override", ["objective.direction=maximize", "search_space.depth.high=5"])
def test_what_is_fixed_is_fixed_on_resume_too(study_file, api, agent, override):
    study_id = run(study_file, api).result["study_id"]
    with pytest.raises(InputError, match="which is fixed"):
        resume(study_id, api, overrides=[override])


@pytest.mark.long
def test_a_report_that_is_refused_ends_no_study(study_file, api, agent, monkeypatch):
    def too_large(self, **options):
        raise ApiError("events.add_batch", 413, 0, "Request Entity Too Large")

    monkeypatch.setattr(ControllerTask, "report", too_large)
    view = Listener()
    assert run(study_file, api, view=view).status == "completed"
    assert sum("the report is behind: events.add_batch was refused" in note for note in view.notes) == 1


@pytest.mark.long
def test_trouble_while_a_study_is_stopped_is_sat_out(study_file, api, queue, monkeypatch):
    stopped, troubled = threading.Event(), []
    with PlayedAgent(quadratic, queue=queue, connects=CONNECTS):
        run(study_file, api, overrides=["budget.trials=2"])
    report, publisher = ControllerTask.report, reports_module.Publisher

    def in_trouble_once(self, **options):
        if stopped.is_set() and not troubled:
            troubled.append(True)
            raise ApiError("events.add_batch", 503, 0, "away")
        return report(self, **options)

    monkeypatch.setattr(ControllerTask, "report", in_trouble_once)
    monkeypatch.setattr(
        reports_module, "Publisher", lambda *a, **options: publisher(*a, **{**options, "period_s": 0.0})
    )
    view = When(3, TrialState.RUNNING, lambda trial: stopped.set())
    with PlayedAgent(endless, queue=queue, connects=CONNECTS, step_s=0.002):
        outcome = run(study_file, api, view=view, stopped=stopped, overrides=["budget.trials=8"])
    assert troubled and outcome.status == "stopped"


@pytest.mark.long
def test_an_abort_is_heard_while_a_study_drains(study_file, api, queue, monkeypatch):
    monkeypatch.setattr("clearml_hpo.backend.lease.RENEW_S", 0.2)
    monkeypatch.setattr("clearml_hpo.backend.lease.FIRST_RENEWAL_S", 0.2)
    with PlayedAgent(quadratic, queue=queue, connects=CONNECTS):
        study_id = run(study_file, api, overrides=["budget.trials=1"]).result["study_id"]
    steering = Lease(api, study_id)

    def stop(trial):
        steering._task.set(stop="drain")
        threading.Timer(1.5, lambda: steering._task.set(stop="abort")).start()

    view = When(1, TrialState.RUNNING, stop)
    with PlayedAgent(endless, queue=queue, connects=CONNECTS, step_s=0.1):
        outcome = run(study_file, api, view=view, overrides=["budget.trials=8"])
    assert outcome.status == "stopped"
    assert outcome.trials[1].state is TrialState.STOPPED, "left alone, it would have been completed"
