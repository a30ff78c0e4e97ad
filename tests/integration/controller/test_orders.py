"""What users order by hand: while a controller drives the study, after it was killed, and without one."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from clearml_hpo import InputError, Study
from clearml_hpo.backend.controller_task import ControllerTask
from clearml_hpo.core.trial import TrialState
from clearml_hpo.study_file import load_study
from clearml_hpo.testing import PlayedAgent

from .conftest import CONNECTS, quadratic
from .driving import DEADLINE_S, Listener, eventually, resume, run
from .recorded import RecordedStudy

pytestmark = pytest.mark.usefixtures("listens_often")

POINT = {"x": 0.125, "depth": 7}
WHOLE = {"General/x": 0.125, "General/depth": 7, "General/kind": "a"}


class Killed(KeyboardInterrupt):
    """Stands for SIGKILL: no call follows."""


@pytest.fixture
def recorded(api, queue):
    """Two completed trials, one that failed, one that runs, one that waits."""
    recorded = RecordedStudy(api, queue)
    recorded.trial(0, loss=0.5, state="completed", x=0.9)
    recorded.trial(1, loss=0.25, state="completed", x=0.3)
    recorded.trial(2, "failed", state="failed")
    recorded.trial(3, "in_progress", loss=0.75, x=0.4)
    recorded.trial(4, "queued", x=0.6)
    return recorded


@pytest.fixture
def let_go():
    """Set once trainings may end."""
    return threading.Event()


@pytest.fixture
def in_background(let_go):
    """Drives a study in a thread; whatever becomes of the test, it ends."""
    stopped = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        yield lambda drive, *args, **options: pool.submit(drive, *args, stopped=stopped, **options)
        let_go.set()
        stopped.set()


@pytest.fixture
def held_up(queue, let_go):
    """An agent whose trainings report, and go on until they are let go."""

    def training(params):
        yield from quadratic(params)
        while not let_go.is_set():
            yield {"validation/loss": 0.5}

    with PlayedAgent(training, queue=queue, connects=CONNECTS, step_s=0.02) as agent:
        yield agent


def patiently(ask):
    """What ``ask`` returns once it is not refused: the study, or what its template has, is not on the server yet."""

    def asked():
        with suppress(InputError):
            return [ask()]

    return eventually(asked, "it was refused all the time")[0]


def the_study(path):
    project = load_study(path).spec.project
    return patiently(lambda: Study.load("quadratic", project=project))


def order_properties(api, study_id):
    found = api.call("tasks.get_all", id=[study_id], only_fields=["hyperparams.properties"])["tasks"][0]
    return [name for name in found["hyperparams"]["properties"] if name.startswith("order_")]


def with_params(study, params):
    return [trial for trial in study.refresh().trials if trial.params == params]


# --- points ----------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_driven_study_tries_a_point_once(study_file, api, held_up, in_background, let_go):
    view = Listener()
    running = in_background(run, study_file, api, view=view, overrides=["duplicates=rerun"])
    study = the_study(study_file)
    eventually(lambda: TrialState.RUNNING in study.refresh().counts, "a trial runs", running)
    assert patiently(lambda: study.enqueue(POINT)), "its controller was asked"
    let_go.set()
    assert running.result(DEADLINE_S).status == "completed"
    (tried,) = with_params(study, WHOLE)
    assert tried.state is TrialState.COMPLETED and tried.number < 5
    assert order_properties(api, study.study_id) == [] and study.orders == []
    assert f"trial {tried.number} tries what a user ordered" in view.notes
    assert len(study.trials) == 6, "it counts"


@pytest.mark.long
def test_a_point_that_no_controller_hears_of_waits_for_the_next(study_file, api, queue, agent):
    first = run(study_file, api, overrides=["budget.trials=3"])
    study = Study.load(first.result["study_id"])
    with pytest.raises(InputError, match=r"the budget of 3 trials is used up.*--trials 4"):
        study.enqueue(POINT)
    assert not study.extend(trials=4)
    assert not study.enqueue(POINT)
    assert [order["do"] for order in study.orders] == ["extend", "try"]
    again = resume(study.study_id, api)
    assert again.status == "completed" and len(again.trials) == 4
    assert again.trials[3].params == WHOLE and order_properties(api, study.study_id) == []
    assert study.refresh().file.budget.trials == 4


@pytest.mark.long
@pytest.mark.parametrize("dies_in", ["clone", "drop"])
def test_a_point_is_tried_once_although_the_controller_is_killed(study_file, api, agent, monkeypatch, dies_in):
    """Before the trial's task is made, or between that and the end of the order."""
    first = run(study_file, api, overrides=["budget.trials=2", "duplicates=rerun"])
    study = Study.load(first.result["study_id"])
    study.extend(trials=4)
    study.enqueue(POINT)
    before = api.call

    def killed(endpoint, **body):
        is_order = endpoint == "tasks.clone" and any(
            each["name"] == "order" for each in properties_of(body["new_task_hyperparams"])
        )
        if dies_in == "clone" and is_order:
            raise Killed
        if dies_in == "drop" and endpoint == "tasks.delete_hyper_params":
            raise Killed
        return before(endpoint, **body)

    with monkeypatch.context() as patch:
        patch.setattr(api, "call", killed)
        with pytest.raises(Killed):
            resume(study.study_id, api)
    release(api, study)
    again = resume(study.study_id, api)
    assert again.status == "completed" and len(again.trials) == 4
    assert [trial.state for trial in again.trials if trial.params == WHOLE] == [TrialState.COMPLETED]
    assert order_properties(api, study.study_id) == []


def properties_of(hyperparams):
    return hyperparams.get("properties", {}).values()


def release(api, study):
    """What the death of the holder's process does."""
    ControllerTask(api, study.study_id, study.record.project_id).set_properties(holder="")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "no parameter is given"),
        ({"x": 2.0}, r"x: found 2\.0; allowed: "),
        ({"xx": 0.5}, "xx: no parameter that varies; did you mean 'General/x'|no parameter that varies"),
        ({"kind": "c"}, "kind: found 'c'; allowed: "),
        ({"x": 0.3, "depth": 3, "kind": "b"}, "trial 1 has this point already: it is completed"),
    ],
)
def test_what_is_no_point_to_try(recorded, params, said):
    study = Study.load(recorded.study_id)
    with pytest.raises(InputError, match=said):
        study.enqueue(params)
    assert study.orders == []


def test_a_point_is_ordered_once(recorded):
    study = Study.load(recorded.study_id)
    study.enqueue(POINT)
    assert study.orders == [{"do": "try", "params": WHOLE}]
    with pytest.raises(InputError, match="was ordered already"):
        study.enqueue({**POINT, "kind": "a"})


# --- ends ------------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("how", ["prune", "abort"])
def test_a_driven_study_ends_a_trial(study_file, api, held_up, in_background, let_go, how):
    view = Listener()
    running = in_background(run, study_file, api, view=view, overrides=["budget.trials=3", "execution.concurrency=2"])
    study = the_study(study_file)
    eventually(lambda: {TrialState.RUNNING, TrialState.QUEUED} <= {*study.refresh().counts}, "one waits", running)
    runs, waits = (
        next(t for t in study.trials if t.state is state) for state in (TrialState.RUNNING, TrialState.QUEUED)
    )
    assert study.end_trials([runs.number, waits.number], how)
    state = TrialState.PRUNED if how == "prune" else TrialState.ABORTED

    def ended():
        return [study.refresh().trials[number].state for number in (runs.number, waits.number)] == [state] * 2

    eventually(ended, "both have ended", running)
    eventually(lambda: not order_properties(api, study.study_id), "the orders are done", running)
    let_go.set()
    assert running.result(DEADLINE_S).status == "completed"
    assert [t.attempt for t in study.refresh().trials] == [1, 1, 1]
    assert study.trials[runs.number].state is study.trials[waits.number].state is state
    for trial in (runs, waits):
        assert f"trial {trial.number} {state.value} by order of a user" in view.notes


@pytest.mark.parametrize(("how", "state"), [("prune", TrialState.PRUNED), ("abort", TrialState.ABORTED)])
def test_without_a_controller_trials_are_ended_at_once(recorded, how, state):
    study = Study.load(recorded.study_id)
    runs, waits = study.trials[3], study.trials[4]
    assert not study.end_trials([3, 4], how)
    assert [study.trials[number].state for number in (3, 4)] == [state, state]
    assert recorded.status_of(runs.task_id) == "stopped" and recorded.status_of(waits.task_id) == "created"
    assert study.trials[4].reason == f"{state.value} by order of a user"
    settled = {trial.number: trial.state for trial in recorded.read().settled}
    assert (settled[3], settled[4]) == (state, state), "as the next controller reads it"


@pytest.mark.parametrize(
    ("numbers", "how", "said"),
    [
        ([9], "prune", "no trial 9: they are 0 to 4"),
        ([3, 0], "prune", "trial 0 is completed; only these can be ended: queued, running"),
        ([], "abort", "no trial is given"),
        ([3], "kill", "how: found 'kill'; allowed: prune, abort"),
    ],
)
def test_what_cannot_be_ended(recorded, numbers, how, said):
    with pytest.raises(InputError, match=said):
        Study.load(recorded.study_id).end_trials(numbers, how)
    assert recorded.status_of(Study.load(recorded.study_id).trials[3].task_id) == "in_progress"


@pytest.mark.long
@pytest.mark.parametrize("dies_at", ["tasks.stop_many", "tasks.delete_hyper_params"])
def test_a_trial_is_ended_although_the_controller_is_killed(
    study_file, api, held_up, in_background, let_go, monkeypatch, dies_at
):
    """Before its task is stopped, or after that and before the end of the order."""
    before = api.call

    def killed(endpoint, **body):
        if endpoint == dies_at:
            raise Killed
        return before(endpoint, **body)

    running = in_background(run, study_file, api, overrides=["budget.trials=3"])
    study = the_study(study_file)
    eventually(lambda: TrialState.RUNNING in study.refresh().counts, "a trial runs", running)
    number = next(t.number for t in study.trials if t.state is TrialState.RUNNING)
    monkeypatch.setattr(api, "call", killed)
    assert study.end_trials([number], "prune")
    with pytest.raises(Killed):
        running.result(DEADLINE_S)
    monkeypatch.undo()
    assert len(order_properties(api, study.study_id)) == 1
    release(api, study)
    again = in_background(resume, study.study_id, api)
    eventually(lambda: study.refresh().trials[number].state is TrialState.PRUNED, "it was pruned", again)
    let_go.set()
    assert again.result(DEADLINE_S).status == "completed"
    assert [(t.state, t.attempt) for t in study.refresh().trials if t.number == number] == [(TrialState.PRUNED, 1)]
    assert order_properties(api, study.study_id) == []


# --- budgets ---------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_driven_study_goes_on_with_a_larger_budget(study_file, api, held_up, in_background, let_go):
    view = Listener()
    running = in_background(run, study_file, api, view=view, overrides=["budget.trials=1"])
    study = the_study(study_file)
    eventually(lambda: TrialState.RUNNING in study.refresh().counts, "the last trial runs", running)
    assert study.extend(trials=3)
    eventually(lambda: study.refresh().file.budget.trials == 3, "it is on record", running)
    let_go.set()
    ended = running.result(DEADLINE_S)
    assert ended.status == "completed" and len(ended.trials) == 3
    assert "budget changed by order of a user: trials: 3" in view.notes
    assert order_properties(api, study.study_id) == []


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({}, "no budget is given"),
        ({"trials": 9}, "budget.trials: found 9; it is 10 already, and can only grow"),
        ({"trials": 10}, "is that already"),
        ({"trials": "many"}, "budget.trials"),
        ({"time": "1h"}, "budget.time: found 3600; it is without limit, and can only grow"),
        ({"trails": 20}, "budget.trails: it cannot be extended; did you mean 'trials'"),
        ({"trials": None}, "give at least one of: trials"),
    ],
)
def test_what_is_no_larger_budget(recorded, budget, said):
    with pytest.raises(InputError, match=said):
        Study.load(recorded.study_id).extend(**budget)


def test_a_second_extension_counts_from_the_first(recorded):
    study = Study.load(recorded.study_id)
    study.extend(trials=20)
    with pytest.raises(InputError, match="it is 20 already"):
        study.extend(trials=15)


# --- ranges ----------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_driven_study_and_the_next_controller_propose_within_narrowed_ranges(
    study_file, api, held_up, in_background, let_go
):
    view = Listener()
    running = in_background(run, study_file, api, view=view, overrides=["budget.trials=6"])
    study = the_study(study_file)
    eventually(lambda: {TrialState.RUNNING, TrialState.QUEUED} <= {*study.refresh().counts}, "one waits", running)
    assert study.narrow("x", low=0.25, high=0.5) and study.narrow("kind", choices=["b"])
    eventually(lambda: any("General/kind: " in note for note in view.notes), "it was heard", running)
    let_go.set()
    assert running.result(DEADLINE_S).status == "completed"
    study.refresh()
    known = len([trial for trial in study.trials if not holds(trial.params)])
    assert known <= 3 and all(holds(trial.params) for trial in study.trials[known:])
    study.extend(trials=9)
    assert not study.narrow("kind")
    again = resume(study.study_id, api)
    assert [0.25 <= trial.params["General/x"] <= 0.5 for trial in again.trials[6:]] == [True] * 3
    assert study.refresh().narrowed == {"General/x": {"low": 0.25, "high": 0.5}}
    assert study.file.space.distributions["General/x"].high == 1.0, "the space is as it was"


def holds(params):
    return 0.25 <= params["General/x"] <= 0.5 and params["General/kind"] == "b"


@pytest.mark.parametrize(
    ("name", "limits", "said"),
    [
        ("y", {"low": 0.1}, "General/y: no parameter that varies"),
        ("x", {"low": 7}, "General/x: found 7; allowed: "),
        ("depth", {"low": 6, "high": 3}, "low"),
        ("kind", {"low": 3}, "General/kind.low"),
        ("kind", {"choices": ["z"]}, "found 'z'"),
    ],
)
def test_what_cannot_be_narrowed(recorded, name, limits, said):
    study = Study.load(recorded.study_id)
    with pytest.raises(InputError, match=said):
        study.narrow(name, **limits)
    assert study.narrowed == {}


# --- any of them -----------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_orders_outlive_a_controller_that_is_killed(study_file, api, held_up, in_background, let_go):
    """A controller of its own process, ended by SIGKILL, as it was ordered and has not heard yet."""
    command = [sys.executable, "-m", "clearml_hpo", "run", str(study_file), "--set", "budget.trials=4"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as controller:
        try:
            study = the_study(study_file)
            eventually(lambda: {TrialState.RUNNING, TrialState.QUEUED} <= {*study.refresh().counts}, "one waits")
            runs, waits = (
                next(t for t in study.trials if t.state is state) for state in (TrialState.RUNNING, TrialState.QUEUED)
            )
            assert patiently(lambda: study.enqueue(POINT)) and study.end_trials([runs.number, waits.number], "abort")
            assert study.extend(trials=5)
        finally:
            controller.kill()
    assert len(order_properties(api, study.study_id)) == 4
    again = in_background(resume, study.study_id, api)
    eventually(lambda: not order_properties(api, study.study_id), "all orders are done", again)
    let_go.set()
    trials = again.result(DEADLINE_S).trials
    assert [t.state for t in trials if t.number in (runs.number, waits.number)] == [TrialState.ABORTED] * 2
    assert len(trials) == 5 and [t.state for t in trials if t.params == WHOLE] == [TrialState.COMPLETED]


def test_a_study_without_a_file_takes_no_orders(recorded):
    recorded.api.call("tasks.edit", task=recorded.study_id, force=True, configuration={})
    study = Study.load(recorded.study_id)
    for order in (lambda: study.enqueue(POINT), lambda: study.extend(trials=20), lambda: study.end_trials([3])):
        with pytest.raises(InputError, match="keeps no study file"):
            order()


@pytest.mark.long
def test_what_is_no_order_is_passed_over(study_file, api, agent):
    first = run(study_file, api, overrides=["budget.trials=2"])
    study = Study.load(first.result["study_id"])
    study.extend(trials=3)
    study._task.set_properties(order_0000000000000_x='{"do": "try", "params": 7}', order_1="{", order_2="")
    view = Listener()
    assert len(resume(study.study_id, api, view=view).trials) == 3
    assert [note for note in view.notes if "is no order" in note] == [
        "order_0000000000000_x is no order, and is passed over",
        "order_1 is no order, and is passed over",
    ]
    assert order_properties(api, study.study_id) == ["order_2"]


# --- the best ones ---------------------------------------------------------------------------------------------------


def test_the_best_are_kept_and_the_others_archived(recorded):
    study = Study.load(recorded.study_id)
    done = study.keep_top(study.keep_plan(1), "archive")
    assert (done.archived, str(done)) == (2, "keep: 2 tasks and models are archived")
    before = [(trial.number, trial.state, trial.value) for trial in study.trials]
    again = study.refresh()
    assert [(trial.number, trial.state, trial.value) for trial in again.trials] == before
    assert again.best.number == 1 and [trial.number for trial in recorded.read().latest] == [0, 1, 2, 3, 4]
    archived = recorded.api.call(
        "tasks.get_all", id=[t.task_id for t in again.trials], only_fields=["id", "system_tags"]
    )
    hidden = [task["id"] for task in archived["tasks"] if "archived" in task.get("system_tags", ())]
    assert sorted(hidden) == sorted(again.trials[number].task_id for number in (0, 2))
