"""What happens to trials that end without a value, and to those that people meddle with."""

from __future__ import annotations

import math

import optuna
import pytest

from clearml_hpo.core.budget import Budget
from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.scheduler import Failures, Placement, Retry
from clearml_hpo.testing import Simulation
from tests.unit.scheduler.driving import Troubled, drive, make, quadratic, states, until

Told = optuna.trial.TrialState
GOOD = [0.9, 0.5]
FAILURES = {
    TrialState.FAILED: (GOOD, "failed", "ValueError: no"),
    TrialState.KILLED: (GOOD, "failed", "worker execution exit code -9"),
    TrialState.LOST: (GOOD, "failed", "lost: agent host:gpu0 died"),
    TrialState.ABORTED: (GOOD, "stopped", "stopped by ada"),
    TrialState.NO_OBJECTIVE: ([], "completed", ""),
    TrialState.NOT_FINITE: ([0.5, math.nan], "completed", ""),
}


def attempts(scheduler, number=0):
    found = [*scheduler.earlier_attempts, scheduler.trial(number)]
    return [trial for trial in found if trial.number == number]


class Failing(Simulation):
    """Trial 0 ends as said in its first attempts; all others are well."""

    def __init__(self, state, times=1, **options):
        super().__init__(lambda params: GOOD, **options)
        self.curve, self.status, self.reason = FAILURES[state]
        self.times = times

    def create(self, number, attempt, params, order="", **more):
        task_id = super().create(number, attempt, params, order, **more)
        if number == 0 and attempt <= self.times:
            self.tasks[task_id].curve = self.curve
        return task_id

    def advance(self, seconds=1.0):
        super().advance(seconds)
        for task in self.running:
            if task.number == 0 and task.attempt <= self.times and task.iteration >= len(self.curve):
                self.end(task.task_id, self.status, self.reason)


@pytest.mark.parametrize("state", FAILURES)
def test_each_class_has_retries_of_its_own(state):
    world = Failing(state)
    scheduler = make(world, trials=3, failures=Failures({state: Retry(1)}))
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 3
    first, second = attempts(scheduler)
    assert (first.state, first.attempt, second.attempt) == (state, 1, 2)
    assert first.params == second.params and first.task_id != second.task_id
    assert world.tasks[first.task_id].properties["state"] == state.value
    assert [trial.number for trial in scheduler.trials] == [0, 1, 2]
    assert "retrying trial 0: attempt 2" in scheduler.notes
    told = [t.state for t in scheduler.study.optuna_study.trials]
    assert sorted(told) == sorted([Told.FAIL, *[Told.COMPLETE] * 3])


@pytest.mark.parametrize("state", FAILURES)
def test_a_trial_is_given_up_after_its_retries_and_told_as_failed(state):
    world = Failing(state, times=9)
    scheduler = make(world, trials=2, failures=Failures({state: Retry(2)}))
    drive(scheduler, world)
    assert [trial.state for trial in attempts(scheduler)] == [state] * 3
    assert scheduler.trial(0).attempt == 3
    assert [t.state for t in scheduler.study.optuna_study.trials].count(Told.FAIL) == 3
    assert not [t for t in scheduler.study.optuna_study.trials if t.state in (Told.PRUNED, Told.RUNNING)]


@pytest.mark.parametrize("state", FAILURES)
def test_retries_of_another_class_are_of_no_use(state):
    others = {other: Retry(5) for other in FAILURES if other is not state}
    world = Failing(state, times=9)
    scheduler = make(world, trials=1, failures=Failures(others))
    drive(scheduler, world)
    assert scheduler.trial(0).state is state and not scheduler.earlier_attempts


def test_a_retry_may_go_to_another_queue():
    world = Failing(TrialState.FAILED, workers={"small": 1, "big": 1})
    scheduler = make(
        world,
        trials=3,
        failures=Failures({TrialState.FAILED: Retry(1, "big")}),
        placement=Placement(("small",), retry_queues=("big",)),
    )
    drive(scheduler, world)
    assert [trial.queue for trial in attempts(scheduler)] == ["small", "big"]
    assert {trial.queue for trial in scheduler.trials[1:]} == {"small"}


def test_a_retry_waits_for_its_own_queue_and_holds_up_no_other_trial():
    world = Failing(TrialState.FAILED, workers={"small": 1})
    scheduler = make(
        world,
        trials=20,
        failures=Failures({TrialState.FAILED: Retry(1, "big")}),
        placement=Placement(("small",), retry_queues=("big",)),
    )
    for _ in range(200):
        scheduler.step()
        world.advance()
    assert states(scheduler)[1:] == [TrialState.COMPLETED] * 19
    assert scheduler.trial(0).state is TrialState.QUEUED and scheduler.trial(0).queue == "big"
    world.slots["big"] = 1
    drive(scheduler, world)
    assert scheduler.trial(0).state is TrialState.COMPLETED


def test_many_retries_that_find_no_room_do_not_keep_new_trials_out():
    world = Simulation(lambda params: GOOD, workers={"small": 2})
    scheduler = make(
        world,
        trials=40,
        failures=Failures({TrialState.FAILED: Retry(1, "big")}),
        placement=Placement(("small",), retry_queues=("big",)),
    )
    for _ in range(300):
        scheduler.step()
        world.advance()
        for task in world.running:
            if task.number < 20:
                world.end(task.task_id, "failed")
    assert states(scheduler)[20:] == [TrialState.COMPLETED] * 20


def test_a_trial_without_a_sign_of_life_is_lost_and_its_task_is_ended():
    world = Simulation(quadratic, workers=1)
    scheduler = make(world, trials=2, failures=Failures({TrialState.LOST: Retry(1)}, lost_after_s=20))
    scheduler.step()
    world.advance()
    world.silent.add("task-0")
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 2
    (lost,) = scheduler.earlier_attempts
    assert lost.state is TrialState.LOST and "no sign of life for 21 s" in lost.reason
    assert world.tasks["task-0"].status == "failed" and world.tasks["task-0"].reason == lost.reason


def test_a_slow_trial_that_shows_signs_of_life_is_not_lost():
    world = Simulation(lambda params: GOOD, workers=1)
    scheduler = make(world, trials=1, failures=Failures(lost_after_s=20))
    scheduler.step()
    world.advance()
    world.silent.add("task-0")
    for _ in range(100):
        world.advance()
        world.tasks["task-0"].updated_at = world.clock() // 15  # its agent's, now and then
        scheduler.step()
    assert states(scheduler) == [TrialState.RUNNING]


def test_an_outage_is_not_the_silence_of_the_trials():
    world = Simulation(quadratic, workers=2)
    scheduler = make(world, trials=2, failures=Failures(lost_after_s=600))
    scheduler.step()
    for _ in range(3):
        world.advance()
        scheduler.step()
    world.clock.advance(3 * 3600)  # the server is out of reach: nobody can report, and nobody can look
    scheduler.step()
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 2
    assert not scheduler.earlier_attempts


@pytest.mark.parametrize(("says_something", "expected"), [(False, TrialState.FAILED), (True, TrialState.RUNNING)])
def test_a_trial_that_hangs_without_output_is_ended_as_failed(says_something, expected):
    """Its process lives, and so shows signs of life."""
    world = Simulation(lambda params: [0.9] + [{}] * 500, workers=1)
    scheduler = make(world, trials=1, failures=Failures(lost_after_s=5, silent_after_s=30))
    for second in range(80):
        scheduler.step()
        world.advance()
        if says_something:
            world.logs["task-0"] = f"line {second // 10}"
    trial = scheduler.trial(0)
    assert trial.state is expected
    if not says_something:
        assert trial.reason == "it hangs: no line and no scalar for 30 s (silent_after)"
        assert world.tasks["task-0"].properties["reason"] == trial.reason
        assert 30 <= trial.duration <= 60 and world.calls["output"] <= 4


def test_another_run_of_a_silent_task_has_the_whole_time():
    world = Simulation(lambda params: [0.9] + [{}] * 500, workers=1)
    scheduler = make(world, trials=1, failures=Failures(silent_after_s=30))
    for _ in range(25):
        scheduler.step()
        world.advance()
    task, slots = world.tasks["task-0"], world.slots
    task.status, world.slots = "queued", {"default": 0}
    world.queue.append("task-0")
    for _ in range(100):
        scheduler.step()
        world.advance()
    world.slots = slots
    for _ in range(10):
        scheduler.step()
        world.advance()
    assert task.started_at > 1_100 and states(scheduler) == [TrialState.RUNNING]


def test_rare_polls_find_lost_trials_too():
    world = Simulation(quadratic, workers=1)
    scheduler = make(world, trials=1, failures=Failures({}, lost_after_s=600))
    scheduler.step()
    world.advance()
    world.silent.add("task-0")
    for _ in range(8):
        scheduler.step()
        world.advance(300)
    assert states(scheduler) == [TrialState.LOST]


def test_a_trial_that_a_worker_took_and_never_started_is_lost():
    world = Simulation(quadratic, workers=1)
    scheduler = make(world, trials=2, failures=Failures({TrialState.LOST: Retry(1)}, lost_after_s=100))
    scheduler.step()
    taken = world.queue.pop(0)
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 2
    assert [trial.task_id for trial in scheduler.earlier_attempts] == [taken]
    assert "never started" in scheduler.earlier_attempts[0].reason


@pytest.mark.parametrize("arrives", [True, False])
def test_a_trial_on_its_way_to_the_kubernetes_agents_queue_goes_on_or_is_lost(arrives):
    world = Simulation(quadratic, workers=1)
    scheduler = make(world, trials=1, failures=Failures({TrialState.LOST: Retry(1)}, lost_after_s=100))
    scheduler.step()
    taken = world.queue.pop(0)
    world.end(taken, "stopped", "moving to k8s pending queue")
    scheduler.step()
    assert states(scheduler) == [TrialState.QUEUED]
    if arrives:
        world.submit(taken, "k8s_scheduler")
        world.slots["k8s_scheduler"] = 1
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED]
    assert [trial.state for trial in scheduler.earlier_attempts] == ([] if arrives else [TrialState.LOST])


def test_a_trial_that_a_person_has_moved_to_another_queue_is_not_lost():
    world = Simulation(quadratic, workers=1)
    scheduler = make(world, trials=3, failures=Failures({}, lost_after_s=100))
    scheduler.step()
    moved = world.queue[0]
    world.withdraw([moved])
    world.submit(moved, "a person's")
    for _ in range(500):
        scheduler.step()
        world.advance()
    assert states(scheduler) == [TrialState.QUEUED, TrialState.COMPLETED, TrialState.COMPLETED]
    world.slots["a person's"] = 1
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 3


def test_a_trial_that_waits_for_long_in_its_queue_is_not_lost():
    world = Simulation(quadratic, workers=0)
    scheduler = make(world, trials=1, failures=Failures(lost_after_s=100))
    for _ in range(1000):
        scheduler.step()
        world.advance()
    assert states(scheduler) == [TrialState.QUEUED]


def test_a_lost_trial_that_was_to_be_pruned_is_pruned_and_not_run_again():
    world = Simulation(lambda params: [1.0] * 50, workers=1)
    always = optuna.pruners.ThresholdPruner(upper=0.5, n_warmup_steps=2)
    failures = Failures({TrialState.LOST: Retry(3)}, lost_after_s=20)
    scheduler = make(world, trials=1, pruner=always, failures=failures)
    scheduler.step()
    for _ in range(3):
        world.advance()
    world.silent.add("task-0")  # its agent dies before it hears of it
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.PRUNED] and not scheduler.earlier_attempts


def test_equal_failures_in_a_row_stop_the_study_with_the_tail_of_the_log():
    world = Simulation(quadratic, workers=2)
    scheduler = make(world, trials=50, failures=Failures({}, stop_after=3))
    scheduler.step()
    for _ in range(20):
        world.advance()
        for task in world.running:
            if task.number != 1:
                world.end(task.task_id, "failed", "ImportError: no module")
        if not scheduler.step():
            break
    assert scheduler.ended == "3 trials in a row have failed"
    first, _, tail = scheduler.failure.partition("\n")
    assert first == "3 trials in a row have failed; the last one, trial 3: ImportError: no module"
    assert tail == "log of task-3"
    assert not world.running and not world.queue
    assert states(scheduler).count(TrialState.FAILED) == 3
    assert all(
        world.tasks[trial.task_id].properties["state"] == "failed"
        for trial in scheduler.trials
        if trial.number in (0, 2, 3)
    )


def test_failures_of_two_classes_or_with_a_success_between_are_no_row():
    endings = ["failed", "stopped", "failed", "stopped", "", "failed", "failed", "", "failed", "failed"]
    world = Simulation(lambda params: GOOD, workers=1)
    scheduler = make(world, trials=10, failures=Failures({}, stop_after=3), prefetch=0)
    while scheduler.step():
        world.advance()
        for task in world.running:
            if endings[task.number]:
                world.end(task.task_id, endings[task.number])
    assert len(scheduler.trials) == 10 and not scheduler.failure


def test_attempts_count_in_the_row():
    world = Failing(TrialState.FAILED, times=9, workers=1)
    scheduler = make(world, trials=5, failures=Failures({TrialState.FAILED: Retry(5)}, stop_after=2), concurrency=1)
    drive(scheduler, world)
    assert "in a row" in scheduler.failure


def test_a_log_that_cannot_be_read_does_not_keep_the_study_from_stopping():
    world = Failing(TrialState.FAILED)
    Troubled(world, lambda call: True, ("log_tail",))
    scheduler = make(world, trials=5, failures=Failures({}, stop_after=1))
    drive(scheduler, world)
    assert "its log cannot be read" in scheduler.failure
    assert scheduler.trial(0).state is TrialState.FAILED


def test_a_failure_under_an_agent_has_the_reason_of_its_console():
    world = Failing(TrialState.FAILED)
    world.reason = "worker execution exit code 1; Changed by the agent"
    world.logs["task-0"] = (
        "Traceback (most recent call last):\n  File 'train.py'\nValueError: no depth\nProcess failed, exit code 1"
    )
    scheduler = make(world, trials=2, failures=Failures({}))
    drive(scheduler, world)
    assert scheduler.trial(0).reason == "ValueError: no depth (exit code 1)"
    assert world.tasks["task-0"].properties["reason"] == scheduler.trial(0).reason
    assert world.calls["log_tail"] == 1


def test_a_crash_under_an_agent_is_named_without_a_look_at_the_console():
    world = Failing(TrialState.FAILED)
    world.reason = "worker execution exit code 139"
    scheduler = make(world, trials=1)
    drive(scheduler, world)
    assert scheduler.trial(0).reason == "ended by SIGSEGV, signal 11" and not world.calls["log_tail"]


def test_a_trial_whose_sdk_cannot_log_in_under_an_agent_is_lost_and_runs_again():
    world = Failing(TrialState.FAILED)
    world.reason = "worker execution exit code 1; Changed by the agent"
    words = "clearml.backend_api.session.session.LoginError: Failed getting token (error 404 from http://a:8008)"
    world.logs["task-0"] = f"Traceback (most recent call last):\n  File 'train.py'\n{words}\n"
    scheduler = make(world, trials=2, failures=Failures({TrialState.LOST: Retry(1)}))
    drive(scheduler, world)
    assert [(one.state, one.attempt) for one in scheduler.earlier_attempts] == [(TrialState.LOST, 1)]
    assert scheduler.trial(0).attempt == 2


def test_a_failure_whose_console_cannot_be_read_has_the_agents_reason():
    world = Failing(TrialState.FAILED)
    world.reason = "worker execution exit code 1"
    Troubled(world, lambda call: True, ("log_tail",))
    scheduler = make(world, trials=2, failures=Failures({}))
    drive(scheduler, world)
    assert scheduler.trial(0).reason == world.reason


# --- people -------------------------------------------------------------------------------------------------------


def test_a_failed_trial_that_a_person_puts_in_line_again_goes_on():
    world = Failing(TrialState.FAILED, workers=1)
    scheduler = make(world, trials=30, failures=Failures({}))
    scheduler.step()
    until(scheduler, world, lambda: scheduler.trial(0).state is TrialState.FAILED)
    world.times = 0
    world.reset("task-0")
    world.tasks["task-0"].curve = GOOD
    world.submit("task-0")
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 30
    assert scheduler.trial(0).attempt == 1 and scheduler.trial(0).task_id == "task-0"
    assert "trial 0 was failed and is completed again" in " ".join(scheduler.notes)
    assert world.tasks["task-0"].properties["state"] == "completed"


@pytest.mark.parametrize("concurrency", [None, 1])
def test_a_trial_that_a_person_puts_in_line_again_keeps_the_study_from_ending(concurrency):
    world = Failing(TrialState.FAILED, workers=1)
    scheduler = make(world, trials=1, failures=Failures({}), concurrency=concurrency)
    scheduler.step()
    while world.tasks["task-0"].status != "failed":
        world.advance()
    mark = world.mark

    def requeued_after(task_id, **properties):
        mark(task_id, **properties)
        if properties["state"] == "failed":
            world.times = 0
            world.reset(task_id)
            world.submit(task_id)

    world.mark = requeued_after
    assert scheduler.step(), "it has seen that the trial is back"
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED]


@pytest.mark.parametrize("is_seen_as_draft", [True, False])
def test_a_running_trial_that_a_person_puts_in_line_again_starts_anew(is_seen_as_draft):
    world = Simulation(lambda params: [9.0] * 3 + [1.0] * 37, workers=1)
    scheduler = make(world, trials=3, failures=Failures({}), pruner=optuna.pruners.MedianPruner(n_startup_trials=50))
    scheduler.step()
    for _ in range(10):
        world.advance()
        scheduler.step()
    assert scheduler.trial(0).iteration == 10
    world.reset("task-0")
    if is_seen_as_draft:
        scheduler.step()
        assert scheduler.trial(0).state is TrialState.ABORTED
    world.submit("task-0")
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 3
    assert scheduler.trial(0).task_id == "task-0" and len(world.tasks) == 3
    assert [t.state for t in scheduler.study.optuna_study.trials].count(Told.FAIL) == 1, "the run before"
    complete = [t for t in scheduler.study.optuna_study.trials if t.state is Told.COMPLETE]
    assert [len(t.intermediate_values) for t in complete] == [40] * 3


def test_what_a_restarted_trial_has_used_before_is_not_forgotten():
    world = Simulation(lambda params: [1.0] * 40, workers=1)
    scheduler = make(world, budget=Budget(compute_s=60), prefetch=0)
    scheduler.step()
    for _ in range(31):
        world.advance()
        scheduler.step()
    world.reset("task-0")
    world.submit("task-0")
    for _ in range(40):
        world.advance()
        if not scheduler.step():
            break
    assert "compute budget" in scheduler.ended
    assert world.clock() == pytest.approx(1_000 + 64, abs=3)


def test_a_trial_that_comes_back_to_life_after_it_was_replaced_is_stopped():
    world = Simulation(quadratic, workers=2)
    scheduler = make(world, trials=12, failures=Failures({TrialState.LOST: Retry(2)}, lost_after_s=10))
    scheduler.step()
    world.advance()
    world.silent.add("task-0")
    until(scheduler, world, lambda: scheduler.earlier_attempts)
    world.silent.discard("task-0")
    world.tasks["task-0"].status = "in_progress"
    world.tasks["task-0"].curve = [1.0] * 10_000
    world.tasks["task-0"].worker = "elsewhere"
    drive(scheduler, world)
    for _ in range(40):
        scheduler.step()
        world.advance()
    assert world.tasks["task-0"].status == "stopped"
    assert "attempt 2 of trial 0 has taken its place" in world.tasks["task-0"].reason
    assert states(scheduler) == [TrialState.COMPLETED] * 12
    assert [(t.number, t.state) for t in scheduler.earlier_attempts] == [(0, TrialState.LOST)]


def test_a_trial_that_comes_back_to_life_before_it_was_replaced_goes_on():
    world = Simulation(quadratic, workers={"default": 1})
    scheduler = make(
        world,
        trials=12,
        failures=Failures({TrialState.LOST: Retry(2, "big")}, lost_after_s=10),
        placement=Placement(per_queue={"big": 1}, retry_queues=("big",)),
    )
    # Something else waits in the queue of retries, so that the new attempt is not created.
    for number in (90, 91):
        task_id = world.create(number, 1, {"General/x": number / 100})
        world.submit(task_id, "big")
        scheduler.takeover.adopt(trial_of(world, task_id, "big"))
    scheduler.step()
    world.advance()
    first = world.running[0]
    world.silent.add(first.task_id)
    until(scheduler, world, lambda: scheduler.trial(first.number).state is TrialState.LOST)
    world.silent.clear()
    first.status, first.ended_at = "in_progress", None
    for _ in range(60):
        scheduler.step()
        world.advance()
    assert scheduler.trial(first.number).state is TrialState.COMPLETED
    assert scheduler.trial(first.number).attempt == 1
    assert not scheduler.earlier_attempts
    told = [t.state for t in scheduler.study.optuna_study.trials if t.params == scheduler.trial(first.number).params]
    assert Told.COMPLETE in told and Told.RUNNING not in told, "it runs once, not as a new attempt too"


def trial_of(world, task_id, queue):
    task = world.tasks[task_id]
    return Trial(task.number, task.params, task_id, 2, queue=queue)


def test_ends_out_of_order_are_told_as_they_come():
    world = Simulation(lambda params: [params["General/x"]] * (20 if params["General/x"] > 0.5 else 2), workers=4)
    scheduler = make(world, trials=12)
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 12
    ends = [trial.number for trial in scheduler.heard if trial.state is TrialState.COMPLETED]
    assert sorted(ends) == list(range(12)) != ends
    told = scheduler.study.optuna_study.trials
    assert [t.value for t in told] == [trial.value for trial in scheduler.trials]


def test_a_task_that_is_deleted_while_its_end_is_written_down_does_no_harm():
    world = Simulation(lambda params: GOOD, workers=1)
    scheduler = make(world, trials=3)
    mark = world.mark

    def deleted_first(task_id, **properties):
        if task_id == "task-1":
            world.delete(task_id)
        mark(task_id, **properties)

    world.mark = deleted_first
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 3
    assert "trial 1 cannot be marked" in " ".join(scheduler.notes)


def test_a_task_that_is_deleted_just_before_it_is_given_up_does_no_harm():
    world = Simulation(quadratic, workers=1)
    scheduler = make(world, trials=1, failures=Failures({}, lost_after_s=10))
    poll = world.poll

    def deleted_after(task_ids):
        seen = poll(task_ids)
        if world.clock() > 1_015:
            world.tasks.pop("task-0", None)
        return seen

    world.poll = deleted_after
    world.silent.add("task-0")
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.LOST]


@pytest.mark.parametrize("code", [401, 403])
def test_a_mark_that_is_forbidden_ends_the_study(code):
    world = Simulation(lambda params: GOOD)
    scheduler = make(world, trials=3)

    def forbids(task_id, **properties):
        raise ApiError("tasks.edit_hyper_params", code, 0, "no")

    world.mark = forbids
    with pytest.raises(ApiError):
        drive(scheduler, world)


def test_whoever_hears_of_an_end_may_fail_and_the_end_is_told_all_the_same():
    world, failed = Simulation(lambda params: GOOD, workers=1), []

    def fails_once(trial):
        if not trial.state.is_live and trial.number not in failed:
            failed.append(trial.number)
            raise ApiError("events.get_task_metrics", 503, 0, "in trouble")

    scheduler = make(world, trials=4, failures=Failures({TrialState.FAILED: Retry(1)}), on_trial=fails_once)
    for _ in range(60):
        try:
            if not scheduler.step():
                break
        except ApiError:
            continue
        world.advance()
    assert states(scheduler) == [TrialState.COMPLETED] * 4
    assert [t.state for t in scheduler.study.optuna_study.trials] == [Told.COMPLETE] * 4


def test_a_person_may_have_a_failed_trial_run_again():
    world = Failing(TrialState.FAILED, workers=1)
    scheduler = make(world, trials=6, failures=Failures({}))
    scheduler.step()
    until(scheduler, world, lambda: scheduler.trial(0).state is TrialState.FAILED)
    for number in (0, 0, 1, 77):
        scheduler.retry(number)
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 6
    assert [trial.attempt for trial in scheduler.trials] == [2, 1, 1, 1, 1, 1]
    notes = "\n".join(scheduler.notes)
    assert "retrying trial 0: attempt 2" in notes
    assert "trial 77 cannot be run again: it is not known" in notes
    assert notes.count("trial 0 is about to run again") == notes.count("trial 1 cannot be run again") == 1


def test_a_retry_after_the_last_trial_has_ended_keeps_the_study_going():
    world = Failing(TrialState.FAILED, workers=1)
    scheduler = make(world, trials=1, failures=Failures({}))
    drive(scheduler, world)
    scheduler.retry(0)
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED]


def test_a_task_that_a_person_publishes_is_completed():
    world = Simulation(lambda params: GOOD, workers=1)
    scheduler = make(world, trials=1)
    scheduler.step()
    world.advance()
    world.advance()
    world.end("task-0", "published")
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED]


def test_a_trial_that_is_put_in_line_without_a_reset_has_not_started_nor_ended():
    world = Simulation(quadratic, workers=1)
    scheduler = make(world, trials=1, failures=Failures({}))
    scheduler.step()
    world.advance()
    scheduler.step()
    world.end("task-0", "stopped")
    world.submit("task-0")
    scheduler.step()
    assert scheduler.trial(0).state is TrialState.QUEUED
    assert scheduler.trial(0).started_at is None and scheduler.trial(0).ended_at is None
    world.advance()
    scheduler.step()
    assert scheduler.trial(0).state is TrialState.RUNNING
    assert scheduler.trial(0).duration is None, "the server still has the end of the last run"


def test_a_trial_that_is_put_in_line_again_during_a_drain_is_taken_back():
    world = Simulation(lambda params: [1.0] * 30, workers=1)
    scheduler = make(world, trials=1)
    scheduler.step()
    world.advance()
    scheduler.step()
    scheduler.stop("enough", abort=False)
    scheduler.step()
    world.slots["default"] = 0
    world.reset("task-0")
    world.submit("task-0")
    drive(scheduler, world, steps=6)
    assert not world.queue and states(scheduler) == [TrialState.STOPPED]


def test_a_deleted_trial_has_run_by_our_clock_however_wrong_that_is():
    world = Simulation(lambda params: [1.0] * 30, workers=1)
    budget = Budget(trials=2, compute_s=500)
    scheduler = make(world, budget=budget, failures=Failures({}), clock=lambda: world.clock() + 7200)
    scheduler.step()
    for _ in range(5):
        world.advance()
        scheduler.step()
    world.delete("task-0")
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.ABORTED, TrialState.COMPLETED]


def test_an_end_is_written_down_once():
    world = Simulation(lambda params: [1.0] * 50, workers=1)
    scheduler = make(world, trials=3, pruner=optuna.pruners.ThresholdPruner(upper=0.5))
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.PRUNED] * 3
    assert world.calls["mark"] == 3


def test_a_lost_trial_that_was_not_lost_is_charged_once():
    world = Simulation(lambda params: [1.0] * 60, workers=1)
    scheduler = make(world, trials=1, failures=Failures({}, lost_after_s=10))
    until(scheduler, world, lambda: states(scheduler) == [TrialState.RUNNING])
    world.silent.add("task-0")
    until(scheduler, world, lambda: states(scheduler) == [TrialState.LOST])
    task = world.tasks["task-0"]
    task.status, task.ended_at = "in_progress", None
    world.silent.clear()
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED]
    assert scheduler.spent.compute_s == task.ended_at - task.started_at
    assert scheduler.spent.iterations == 60


def test_a_failed_trial_that_a_person_has_run_once_more_is_charged_twice():
    world = Simulation(lambda params: [1.0] * 10, workers=1)
    scheduler = make(world, trials=2, failures=Failures({}))
    until(scheduler, world, lambda: states(scheduler)[:1] == [TrialState.RUNNING])
    world.advance(7.0)
    world.end("task-0", "failed")
    before = world.tasks["task-0"].ended_at - world.tasks["task-0"].started_at
    scheduler.step()
    world.slots["default"] = 0
    world.submit("task-0")
    until(scheduler, world, lambda: states(scheduler)[0] is TrialState.QUEUED)
    world.slots["default"] = 1
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 2
    assert scheduler.spent.compute_s == before + sum(task.ended_at - task.started_at for task in world.tasks.values())


def test_the_latest_attempts_are_looked_back_at_however_many_there_were():
    world = Simulation(lambda params: [1.0] * 10, workers=1)
    scheduler = make(world, trials=2, failures=Failures({}))
    task_id = world.create(0, 601, {"General/x": 0.1})
    world.end(task_id, "failed")
    earlier = [Trial(0, {"General/x": 0.1}, f"earlier {n}", n, state=TrialState.LOST) for n in range(1, 601)]
    scheduler.takeover.restore([Trial(0, {"General/x": 0.1}, task_id, 601, state=TrialState.FAILED)], earlier)
    world.submit(task_id)
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 2


def test_what_runs_is_ended_though_nothing_can_be_written_on_the_studys_task():
    def deleted(reason):
        raise ApiError("tasks.edit_hyper_params", 400, 101, "no such task")

    world = Simulation(lambda params: [1.0] * 50, workers=2)
    scheduler = make(world, trials=6, on_stopping=deleted)
    until(scheduler, world, lambda: TrialState.RUNNING in states(scheduler))
    scheduler.stop("it was deleted")
    drive(scheduler, world, steps=3)
    assert not world.running and not world.queue
