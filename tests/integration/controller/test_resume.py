"""A study that was left goes on: from a file, by id, with a larger budget, and never under two controllers."""

from __future__ import annotations

import threading
import time

import pytest

from clearml_hpo.backend.hyperparameters import user_properties
from clearml_hpo.backend.lease import Lease, driven_s
from clearml_hpo.core.errors import ApiError, HeldError, InputError
from clearml_hpo.core.trial import TrialState
from clearml_hpo.study_file import load_study
from clearml_hpo.testing import PlayedAgent

from .conftest import CONNECTS, quadratic
from .driving import Listener, resume, run


def controllers(api, outcome):
    task = api.call("tasks.get_by_id", task=outcome.result["study_id"])["task"]
    found = api.call("tasks.get_all", project=[task["project"]], type=["optimizer"], only_fields=["id", "status"])
    return found["tasks"]


def properties_of(api, study_id):
    return user_properties(api.call("tasks.get_by_id", task=study_id)["task"]["hyperparams"])


def test_a_finished_study_is_said_to_be_so_and_not_run_again(study_file, api, agent):
    first = run(study_file, api)
    ran = len(agent.ran)
    view = Listener()
    again = run(study_file, api, view=view)
    assert again.status == "completed" and again.best.task_id == first.best.task_id
    assert [trial.value for trial in again.trials] == [trial.value for trial in first.trials]
    assert len(agent.ran) == ran and len(controllers(api, first)) == 1
    assert any("is finished" in note and "--new" in note for note in view.notes)


@pytest.mark.long
def test_a_larger_budget_continues_a_finished_study(study_file, api, agent):
    first = run(study_file, api)
    more = run(study_file, api, overrides=["budget.trials=9"])
    assert more.result["study_id"] == first.result["study_id"]
    assert [trial.number for trial in more.trials] == list(range(9))
    assert [trial.task_id for trial in more.trials[:6]] == [trial.task_id for trial in first.trials]
    assert len(agent.ran) == 9
    again = resume(first.result["study_id"][:10], api, overrides=["budget.trials=10"])
    assert len(again.trials) == 10 and again.status == "completed"


def test_a_smaller_budget_leaves_a_finished_study_as_it_is(study_file, api, agent):
    first = run(study_file, api)
    view = Listener()
    again = run(study_file, api, view=view, overrides=["budget.trials=4"])
    assert any("is finished" in note for note in view.notes) and len(again.trials) == 6
    stored = api.call("tasks.get_by_id", task=first.result["study_id"])["task"]["configuration"]["study"]["value"]
    assert "trials: 6" in stored


@pytest.mark.long
def test_new_starts_another_study_of_the_same_name(study_file, api, agent):
    first = run(study_file, api)
    second = run(study_file, api, new=True)
    assert first.result["study_id"] != second.result["study_id"]
    assert len(agent.ran) == 12


@pytest.mark.long
def test_another_search_space_needs_another_study(study_file, api, agent):
    run(study_file, api)
    study_file.write_text(study_file.read_text().replace("high: 8", "high: 6"))
    with pytest.raises(InputError, match=r"another search_space.*--new"):
        run(study_file, api)


@pytest.mark.long
@pytest.mark.parametrize("abort", [True, False])
def test_an_interrupted_study_goes_on_and_no_trial_is_lost(study_file, api, queue, abort):
    stopped, slow = threading.Event(), threading.Event()

    def training(params):
        yield from quadratic(params)
        if not slow.is_set():
            stopped.set()
            for step in range(6, 200):
                yield {"validation/loss": 1.0 + step, "train/loss": 0.0}

    with PlayedAgent(training, queue=queue, connects=CONNECTS, step_s=0.02) as agent:
        first = run(study_file, api, stopped=stopped, aborts=lambda: abort)
        assert first.status == "stopped"
        slow.set()
        second = run(study_file, api)
    assert second.status == "completed" and second.result["study_id"] == first.result["study_id"]
    assert [trial.number for trial in second.trials] == list(range(6))
    assert {trial.state for trial in second.trials} == {TrialState.COMPLETED}
    if not abort:
        assert len(agent.ran) == 6, "what was left running is not run again"
    assert properties_of(api, first.result["study_id"])["holder"] == ""


def test_a_controller_that_died_without_a_word(study_file, api, queue, monkeypatch):
    """Its trials run on, wait, are half-made: nothing is lost, nothing runs twice."""

    class Died(BaseException):
        pass

    class Dies(Listener):
        def trial(self, trial):
            super().trial(trial)
            if trial.number == 3:
                raise Died

    with PlayedAgent(quadratic, queue=queue, connects=CONNECTS, step_s=0.01) as agent:
        with monkeypatch.context() as patch:
            # Death makes no calls.
            patch.setattr("clearml_hpo.controller.closing.Closing.finish", lambda *_: None)
            with pytest.raises(Died):
                run(study_file, api, view=Dies())
        patch_pid(api, queue)
        outcome = run(study_file, api)
    assert [trial.number for trial in outcome.trials] == list(range(6))
    assert {trial.state for trial in outcome.trials} == {TrialState.COMPLETED}
    assert len(agent.ran) == len(set(agent.ran)) == 6


def patch_pid(api, queue):
    """The process of the dead controller is this one: have its lease name a process that does not exist."""
    fields = ["id", "hyperparams.properties", "configuration.study"]
    tasks = api.call("tasks.get_all", type=["optimizer"], status=["in_progress"], only_fields=fields)["tasks"]
    (task,) = [task for task in tasks if queue in task["configuration"]["study"]["value"]]
    holder = user_properties(task["hyperparams"])["holder"].split(" ")
    holder[2] = "4194304"  # above the kernel's largest
    api.call(
        "tasks.edit_hyper_params",
        task=task["id"],
        force=True,
        replace_hyperparams="none",
        hyperparams=[{"section": "properties", "name": "holder", "value": " ".join(holder)}],
    )


@pytest.mark.long
def test_a_second_controller_is_told_who_drives_the_study(study_file, api, queue):
    stopped = threading.Event()
    outcomes = []
    with PlayedAgent(quadratic, queue=queue, connects=CONNECTS, step_s=0.3):
        first = threading.Thread(target=lambda: outcomes.append(run(study_file, api, stopped=stopped)))
        first.start()
        study_id = wait_for_study(api, study_file)
        with pytest.raises(HeldError, match=r"is driven by .* pid \d+ since .*--take-over"):
            run(study_file, api)
        stopped.set()
        first.join()
    assert outcomes[0].status == "stopped" and outcomes[0].result["study_id"] == study_id


@pytest.mark.long
def test_taking_over_makes_the_first_controller_leave_its_trials_alone(study_file, api, queue):
    errors = []

    def drive():
        try:
            run(study_file, api, overrides=["pruner=none", "budget.trials=12"])
        except HeldError as error:
            errors.append(str(error))

    with PlayedAgent(quadratic, queue=queue, connects=CONNECTS, step_s=0.3) as agent:
        first = threading.Thread(target=drive)
        first.start()
        wait_for_study(api, study_file)
        outcome = run(study_file, api, take_over=True, overrides=["pruner=none", "budget.trials=12"])
        first.join()
    assert "was taken over by" in errors[0]
    assert {trial.state for trial in outcome.trials} == {TrialState.COMPLETED} and len(outcome.trials) == 12
    assert len(agent.ran) == len(set(agent.ran)) == 12


def wait_for_study(api, study_file):
    project = load_study(study_file).spec.project
    for _ in range(200):
        projects = api.call("projects.get_all", name=f"^{project}$", only_fields=["id"])["projects"]
        found = (
            projects
            and api.call(
                "tasks.get_all",
                project=[projects[0]["id"]],
                type=["optimizer"],
                status=["in_progress"],
                only_fields=["id"],
            )["tasks"]
        )
        if found:
            return found[0]["id"]
        time.sleep(0.05)
    pytest.fail("no study has begun")


@pytest.mark.long
def test_the_lease_of_a_silent_holder_on_another_machine_runs_out(study_file, api, agent):
    study_id = run(study_file, api).result["study_id"]
    api.call("tasks.started", task=study_id, force=True)
    set_holder = Lease(api, study_id)
    set_holder._task.set(holder="elsewhere pid 1 since 2026-01-01T00:00:00+00:00 #abcdef")
    now = time.time()
    passed = [0.0]

    def wait(seconds):
        passed[0] += 20 * seconds
        return False

    notes = []
    lease = Lease(api, study_id, clock=lambda: now + passed[0], wait=wait)
    lease.acquire(on_note=notes.append)
    assert "waiting up to" in notes[0]
    assert 60 < passed[0] < 200
    properties = properties_of(api, study_id)
    assert properties["holder"] == lease.me
    held_s = driven_s({**properties, "driven_s": "0"}, now + passed[0] + api.server_ahead_s)
    assert held_s == pytest.approx(20.0, abs=0.01)  # a second to settle: the wait for the lease is not driving


def test_a_clone_made_twice_goes_and_a_persons_copy_stays(study_file, api, agent, monkeypatch):
    """The answer to a clone is lost: the server has it, and it is made once more."""
    call, lost = api.call, []

    def loses_one_answer(endpoint, **body):
        answer = call(endpoint, **body)
        if endpoint == "tasks.clone" and not body["new_task_name"].endswith("#0") and not lost:
            lost.append(answer["id"])
            raise ApiError(endpoint, 502, 0, "no answer")
        return answer

    monkeypatch.setattr(api, "call", loses_one_answer)
    copies = []

    class Copies(Listener):
        def trial(self, trial):
            if trial.number == 2 and not copies:
                copies.append(call("tasks.clone", task=trial.task_id, new_task_name="Clone Of mine")["id"])

    outcome = run(study_file, api, view=Copies())
    assert len(outcome.trials) == 6 and outcome.status == "completed"
    left = {task["id"] for task in call("tasks.get_all", id=[*lost, *copies], only_fields=["id"])["tasks"]}
    assert left == set(copies)
