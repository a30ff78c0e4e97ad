"""A controller goes on where another one has left a study, whatever state its trials are in."""

from __future__ import annotations

import time

import optuna
import pytest

from clearml_hpo.core.budget import Budget, TrialLimits
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.scheduler import Failures, Placement, Retry
from clearml_hpo.search.space import Float, SearchSpace
from clearml_hpo.testing import Simulation
from tests.unit.scheduler.driving import LOSS, SPACE, drive, make, quadratic, records, states, take_over, until

Told = optuna.trial.TrialState
GOAL = Goal((LOSS,))


def slow(params):
    return [params["General/x"]] * 20


def begun(world, steps=0, **options):
    """A study whose controller is killed after so many steps."""
    scheduler = make(world, **options)
    for _ in range(steps):
        scheduler.step()
        world.advance()
    return scheduler


@pytest.mark.parametrize("steps", [1, 2, 7, 20, 50])
def test_nothing_is_lost_and_nothing_is_run_twice(steps):
    world = Simulation(quadratic, workers=2)
    begun(world, steps, trials=12)
    done = {i for i, task in world.tasks.items() if task.status == "completed"}
    scheduler = make(world, trials=12)
    take_over(scheduler, world)
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 12
    assert len(world.tasks) == 12 and done <= {trial.task_id for trial in scheduler.trials}
    assert [trial.number for trial in scheduler.trials] == list(range(12))
    # A sampler of the same seed begins with the same points, which are told as they are known.
    told = {t.params["General/x"]: t.value for t in scheduler.study.optuna_study.trials if t.state is Told.COMPLETE}
    assert told == {trial.params["General/x"]: trial.value for trial in scheduler.trials}


def test_a_controller_that_is_killed_in_every_step_gets_there_too():
    world = Simulation(quadratic, workers=3)
    for _ in range(200):
        scheduler = make(world, trials=9)
        take_over(scheduler, world)
        if not scheduler.step():
            break
        world.advance()
    assert states(scheduler) == [TrialState.COMPLETED] * 9 and len(world.tasks) == 9


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        ("completed", "", TrialState.COMPLETED),
        ("published", "", TrialState.COMPLETED),
        ("failed", "exit code 1", TrialState.FAILED),
        ("failed", "lost: agent died", TrialState.LOST),
        ("stopped", "by ada", TrialState.ABORTED),
    ],
)
def test_ends_that_nobody_saw_are_seen(status, reason, expected):
    world = Simulation(slow, workers=1)
    begun(world, 3, trials=1)
    world.end("task-0", status, reason)
    scheduler = make(world, trials=1, failures=Failures({}))
    found = take_over(scheduler, world)
    assert [trial.task_id for trial in found.unsettled] == ["task-0"]
    drive(scheduler, world)
    assert states(scheduler) == [expected]
    assert world.tasks["task-0"].properties["state"] == expected.value


def test_an_unseen_end_is_run_again_if_the_policy_says_so():
    world = Simulation(slow, workers=1)
    begun(world, 3, trials=1)
    world.end("task-0", "failed", "lost: agent died")
    scheduler = make(world, trials=1, failures=Failures({TrialState.LOST: Retry(1)}))
    take_over(scheduler, world)
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] and scheduler.trial(0).attempt == 2


def test_a_retry_that_was_planned_and_not_made_is_made():
    world = Simulation(slow, workers=1)
    first = begun(world, 3, trials=1, failures=Failures({TrialState.LOST: Retry(1)}))
    world.end("task-0", "failed", "lost: agent died")
    world.create = None  # the controller dies as it makes the new attempt
    with pytest.raises(TypeError):
        first.step()
    del world.create
    assert world.tasks["task-0"].properties["state"] == "lost"
    scheduler = make(world, trials=1, failures=Failures({TrialState.LOST: Retry(1)}))
    take_over(scheduler, world)
    drive(scheduler, world)
    assert [(t.attempt, t.state) for t in scheduler.earlier_attempts] == [(1, TrialState.LOST)]
    assert states(scheduler) == [TrialState.COMPLETED]
    assert sorted(t.state for t in scheduler.study.optuna_study.trials) == [Told.COMPLETE]


def test_attempts_before_count_for_the_retries():
    world = Simulation(slow, workers=1)
    failures = Failures({TrialState.FAILED: Retry(2)})
    for _ in range(6):
        scheduler = make(world, trials=1, failures=failures)
        take_over(scheduler, world)
        for _ in range(3):
            scheduler.step()
            world.advance()
        for task in world.running:
            world.end(task.task_id, "failed")
    drive(scheduler, world)
    assert len(world.tasks) == 3 and states(scheduler) == [TrialState.FAILED]
    assert [trial.attempt for trial in scheduler.earlier_attempts] == [1, 2]


def test_drafts_are_submitted_as_far_as_there_is_room():
    world = Simulation(slow, workers=1)
    for number in range(6):
        world.create(number, 1, {"General/x": number / 10})
    scheduler = make(world, trials=8)
    take_over(scheduler, world)
    scheduler.step()
    assert len(world.queue) == 2, "one to run and one to wait"
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 8
    assert [trial.task_id for trial in scheduler.trials[:6]] == [f"task-{n}" for n in range(6)]
    assert len(world.tasks) == 8


def test_a_clone_that_was_made_twice_is_one_trial():
    world = Simulation(slow, workers=1)
    for _ in range(2):
        world.create(0, 1, {"General/x": 0.5})
    scheduler = make(world, trials=1)
    found = take_over(scheduler, world)
    assert len(found.orphans) == 1
    drive(scheduler, world)
    assert list(world.tasks) == [scheduler.trial(0).task_id]


def test_trials_in_queues_that_the_study_no_longer_has_move():
    world = Simulation(slow, workers={"old": 0, "new": 1})
    begun(world, 2, trials=3, placement=Placement(("old",), per_queue={"old": 3}))
    assert [world.tasks[i].queue for i in world.queue] == ["old"] * 3
    scheduler = make(world, trials=3, placement=Placement(("new",)))
    take_over(scheduler, world)
    assert not world.calls["withdraw"], "nothing is called before the first step, which may fail and be repeated"
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 3
    assert {task.queue for task in world.tasks.values()} == {"new"} and len(world.tasks) == 3


@pytest.mark.parametrize(
    ("wish", "limits", "pruner", "expected"),
    [
        ("pruned", TrialLimits(), optuna.pruners.ThresholdPruner(upper=-1.0, n_warmup_steps=3), TrialState.PRUNED),
        ("completed", TrialLimits(max_iterations=3), None, TrialState.COMPLETED),
    ],
)
def test_an_end_that_an_earlier_controller_wished_for_is_seen_through(wish, limits, pruner, expected):
    world = Simulation(slow, workers=1)
    abort, world.abort = world.abort, None
    first = make(world, trials=1, limits=limits, pruner=pruner)
    with pytest.raises(TypeError):  # it dies between the mark and the abort
        drive(first, world)
    world.abort = abort
    assert world.tasks["task-0"].properties["state"] == wish
    scheduler = make(world, trials=1)
    found = take_over(scheduler, world)
    assert list(found.wishes.values()) == [expected]
    scheduler.step()
    assert world.tasks["task-0"].status == "stopped"
    drive(scheduler, world)
    assert states(scheduler) == [expected]
    assert scheduler.study.optuna_study.trials[0].state is (Told.PRUNED if wish == "pruned" else Told.COMPLETE)


def test_a_study_that_was_stopped_goes_on():
    world = Simulation(slow, workers=2)
    first = begun(world, 3, trials=8)
    stopping = world.clock()
    first.stop("interrupted")
    drive(first, world)
    assert states(first) == [TrialState.STOPPED] * 4
    scheduler = make(world, trials=8)
    found = take_over(scheduler, world, stopping)
    assert len(found.drafts) == 2 and len(found.settled) == 2
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 8
    assert [trial.attempt for trial in scheduler.trials] == [2, 2] + [1] * 6


def test_trials_whose_stop_nobody_saw_are_run_again_too():
    world = Simulation(slow, workers=2)
    begun(world, 3, trials=2)
    stopping = world.clock()
    world.abort(["task-0", "task-1"], "interrupted")  # and the controller is gone
    scheduler = make(world, trials=2)
    take_over(scheduler, world, stopping)
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 2
    assert [trial.attempt for trial in scheduler.trials] == [2, 2]


def test_budgets_go_on_where_they_were():
    world = Simulation(slow, workers=2)
    begun(world, 30, trials=99)
    used = sum(t.ended_at - t.started_at for t in world.tasks.values() if t.ended_at)
    assert used > 30
    scheduler = make(world, budget=Budget(compute_s=used + 30))
    take_over(scheduler, world)
    drive(scheduler, world)
    in_all = sum(t.ended_at - t.started_at for t in world.tasks.values() if t.started_at)
    assert "compute budget" in scheduler.ended and used + 30 <= in_all <= used + 36


def test_the_sampler_knows_how_long_each_trial_ran_also_under_another_controller():
    world = Simulation(lambda params: [0.0] * round(1 + 20 * params["General/x"]), workers=2)
    first = begun(world, 30, trials=8)
    took = {number: trial.duration for number, trial in enumerate(first.trials) if trial.state is TrialState.COMPLETED}
    assert len(took) > 2 and len(set(took.values())) > 1
    scheduler = make(world, trials=8)
    take_over(scheduler, world)
    for study in (first.study, scheduler.study):
        complete = [t for t in study.optuna_study.trials if t.state is Told.COMPLETE]
        assert sorted(t.user_attrs["seconds"] for t in complete) == sorted(took.values())


def test_iterations_go_on_where_they_were():
    world = Simulation(slow, workers=2)
    begun(world, 50, trials=99)
    before = sum(task.iteration for task in world.tasks.values())
    scheduler = make(world, budget=Budget(iterations=before + 20))
    take_over(scheduler, world)
    drive(scheduler, world)
    assert before + 20 <= sum(task.iteration for task in world.tasks.values()) <= before + 26


def test_time_in_which_nobody_drove_the_study_is_no_time_without_improvement():
    world = Simulation(lambda params: [1.0] * 3, workers=1)
    begun(world, 20, trials=99)
    world.clock.advance(24 * 3600)
    scheduler = make(world, budget=Budget(stale_s=100))
    take_over(scheduler, world)
    resumed = world.clock()
    assert scheduler.step()
    drive(scheduler, world)
    assert scheduler.ended == "no improvement in 100 s"
    assert 80 < world.clock() - resumed < 100, "what had passed before counts"


def test_an_adopted_trial_has_run_since_it_started():
    world = Simulation(lambda params: [1.0] * 1000, workers=1)
    begun(world, 40, trials=1)
    scheduler = make(world, trials=1, limits=TrialLimits(time_s=45))
    take_over(scheduler, world)
    until(scheduler, world, lambda: world.tasks["task-0"].status == "stopped")
    task = world.tasks["task-0"]
    assert 45 <= task.ended_at - task.started_at <= 48


def test_a_clock_that_is_wrong_by_hours_does_not_count_against_adopted_trials():
    world = Simulation(lambda params: [1.0] * 60, workers=1)
    begun(world, 10, trials=1)
    scheduler = make(
        world,
        trials=1,
        limits=TrialLimits(time_s=500),
        failures=Failures(lost_after_s=100),
        clock=lambda: world.clock() + 7200,
    )
    take_over(scheduler, world)
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] and scheduler.trial(0).reason == ""


def test_trials_of_another_space_are_kept_and_teach_nothing():
    world = Simulation(lambda params: [1.0] * 3, workers=1)
    begun(world, 12, trials=4)
    scheduler = make(world, trials=6, space=SearchSpace({"General/y": Float(0, 1)}))
    take_over(scheduler, world)
    drive(scheduler, world)
    assert len(scheduler.trials) == 6
    assert len(scheduler.study.optuna_study.trials) == len([t for t in scheduler.trials if "General/y" in t.params])


def test_a_larger_budget_continues_and_a_smaller_one_ends_at_once():
    world = Simulation(quadratic, workers=2)
    drive(make(world, trials=5), world)
    smaller = make(world, trials=3)
    take_over(smaller, world)
    assert smaller.step() is False and len(world.tasks) == 5
    larger = make(world, trials=9)
    take_over(larger, world)
    drive(larger, world)
    assert states(larger) == [TrialState.COMPLETED] * 9 and len(world.tasks) == 9


def test_a_trial_that_a_person_requeued_meanwhile_is_driven():
    world = Simulation(slow, workers=1)
    first = begun(world, 3, trials=2, failures=Failures({}))
    world.end("task-0", "failed")
    first.step()
    assert world.tasks["task-0"].properties["state"] == "failed"
    world.reset("task-0")
    world.submit("task-0")
    scheduler = make(world, trials=2, failures=Failures({}))
    take_over(scheduler, world)
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 2 and len(world.tasks) == 2


def test_the_record_of_a_study_that_ended_is_settled():
    world = Simulation(quadratic, workers=2)
    scheduler = make(world, trials=6)
    drive(scheduler, world)
    found = records(world, GOAL)
    assert not (found.unsettled or found.drafts or found.orphans or found.earlier)
    assert [(t.number, t.state, t.values) for t in found.latest] == [
        (t.number, t.state, t.values) for t in scheduler.trials
    ]


@pytest.mark.parametrize("sampler", [optuna.samplers.TPESampler, optuna.samplers.RandomSampler])
def test_five_thousand_trials_are_taken_in_within_seconds(sampler):
    ended = [
        Trial(
            number,
            {"General/x": number / 5000},
            f"task-{number}",
            state=TrialState.FAILED if number % 10 == 0 else TrialState.COMPLETED,
            values=(number / 5000,),
            iteration=10,
            started_at=float(number),
            ended_at=float(number + 30),
        )
        for number in range(5000)
    ]
    scheduler = make(Simulation(quadratic), trials=6000, space=SPACE, sampler=sampler(seed=1), failures=Failures({}))
    before = time.process_time()
    scheduler.takeover.restore(ended)
    assert time.process_time() - before < 3
    assert len(scheduler.trials) == 5000 and scheduler.best.number == 1


@pytest.mark.parametrize("state", ["failed", "aborted", "pruned", "lost"])
def test_a_trial_that_was_completed_after_its_mark_counts(state):
    world = Simulation(slow, workers=1)
    begun(world, 3, trials=1)
    world.mark("task-0", state=state)  # and nobody stopped it, or a person had it run once more
    for _ in range(25):
        world.advance()
    assert world.tasks["task-0"].status == "completed"
    scheduler = make(world, trials=1)
    take_over(scheduler, world)
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] and scheduler.trial(0).value is not None
    assert world.tasks["task-0"].properties["state"] == "completed"


def test_a_pruned_trial_that_a_person_has_run_once_more_outlives_its_controller():
    world = Simulation(slow, workers=1)
    first = make(world, trials=1, pruner=optuna.pruners.ThresholdPruner(upper=-1.0, n_warmup_steps=3))
    drive(first, world)
    assert world.tasks["task-0"].properties["state"] == "pruned"
    first = make(world, trials=2)
    take_over(first, world)
    first.step()
    world.reset("task-0")
    world.submit("task-0")
    until(first, world, lambda: first.trial(0).state is TrialState.RUNNING)
    scheduler = make(world, trials=2)
    assert not take_over(scheduler, world).wishes
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 2


def test_a_trial_that_is_put_in_line_again_before_it_could_be_stopped_is_not_stopped():
    world = Simulation(slow, workers=1)
    first = make(world, trials=1, pruner=optuna.pruners.ThresholdPruner(upper=-1.0, n_warmup_steps=3))
    abort, world.abort = world.abort, lambda *_: None
    until(first, world, lambda: any(task.properties for task in world.tasks.values()))
    world.reset("task-0")
    world.submit("task-0")
    first.step()
    world.advance()
    world.abort = abort
    scheduler = make(world, trials=1)
    assert not take_over(scheduler, world).wishes
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED]
