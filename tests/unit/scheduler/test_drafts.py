"""What waits is taken back, and what runs meanwhile: ClearML makes drafts of tasks that are dequeued while they run."""

from __future__ import annotations

from clearml_hpo.core.budget import Budget
from clearml_hpo.core.trial import TrialState
from clearml_hpo.scheduler import Placement
from clearml_hpo.testing import Simulation
from tests.unit.scheduler.driving import drive, make, quadratic, states, take_over


def begun(curve=quadratic, **options):
    """A study of three trials, of which the first runs."""
    world = Simulation(curve, workers=1)
    scheduler = make(world, trials=3, prefetch=2, **options)
    scheduler.step()
    world.advance()
    scheduler.step()
    assert states(scheduler) == [TrialState.RUNNING, TrialState.QUEUED, TrialState.QUEUED]
    return world, scheduler


def test_a_running_trial_that_was_dequeued_is_ended_and_no_draft():
    world, scheduler = begun()
    world.dequeue_running("task-0")
    scheduler.step()
    trial = scheduler.trial(0)
    assert trial.state is TrialState.ABORTED and trial.reason == "it was taken out of its queue while it ran"
    assert world.tasks["task-0"].status == "stopped"
    assert world.tasks["task-0"].properties["state"] == "aborted"


def test_one_that_a_person_has_reset_stays_a_draft():
    world, scheduler = begun()
    world.reset("task-0")
    scheduler.step()
    assert scheduler.trial(0).state is TrialState.ABORTED
    assert world.tasks["task-0"].status == "created" and not world.calls["end_draft"]


def test_a_trial_that_starts_and_is_dequeued_at_the_end_is_on_record_as_stopped():
    """A successor would take it for one that never ran, and the report for one that still runs."""
    world, scheduler = begun()
    world.take("task-1")
    world.start("task-1")
    scheduler.stop("enough", abort=True)
    world.dequeue_running("task-1")
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.STOPPED] * 3
    assert world.tasks["task-1"].status == "stopped" and world.tasks["task-1"].properties["state"] == "stopped"
    assert world.tasks["task-2"].status == "created" and not world.tasks["task-2"].properties
    successor = make(world, trials=3)
    found = take_over(successor, world)
    assert [trial.number for trial in found.drafts] == [2]
    assert {trial.number: trial.state for trial in found.settled} == {
        0: TrialState.STOPPED,
        1: TrialState.STOPPED,
    }


def test_what_a_worker_has_just_taken_is_ended_when_it_runs():
    world, scheduler = begun()
    world.take("task-1")
    scheduler.stop("enough", abort=True)
    scheduler.step()
    assert scheduler.trial(1).state is TrialState.QUEUED, "whoever has taken it starts it"
    world.start("task-1")
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.STOPPED] * 3
    assert {task.status for task in world.tasks.values()} == {"stopped", "created"}
    assert world.tasks["task-1"].status == "stopped"


def test_what_a_worker_has_taken_and_will_never_start_keeps_no_study_from_its_end():
    world, scheduler = begun(budget=Budget(trials=3, wall_s=3))
    world.take("task-1")
    drive(scheduler, world, steps=20)
    assert scheduler.trial(1).state is TrialState.STOPPED
    assert world.tasks["task-1"].status == "created"


def test_a_start_that_wipes_out_the_wish_to_stop_does_not_save_a_trial():
    world, scheduler = begun()
    world.silent.add("task-0")  # its worker is about to hear of the wish
    scheduler.stop("enough", abort=True)
    scheduler.step()
    assert world.tasks["task-0"].is_stopping
    scheduler.step()
    assert world.calls["abort"] == 1, "it is under way"
    world.tasks["task-0"].is_stopping = False  # the script says that it starts
    scheduler.step()
    assert world.calls["abort"] == 2 and world.tasks["task-0"].is_stopping


def test_a_worker_that_does_not_stop_a_trial_is_asked_again():
    world, scheduler = begun(lambda params: [1.0] * 100)
    world.silent.add("task-0")
    scheduler.stop("enough", abort=True)
    scheduler.step()
    world.silent.clear()  # the server no longer thinks that a worker runs it: a stop takes effect at once
    drive(scheduler, world, steps=30)
    assert world.calls["abort"] == 2 and scheduler.trial(0).state is TrialState.STOPPED


def test_what_runs_by_now_does_not_move_to_another_queue():
    world = Simulation(quadratic, workers={"a": 0, "b": 1})
    scheduler = make(world, trials=3, placement=Placement(("a", "b"), prefetch=2))
    for name in ("a",):
        world.slots[name] = 2
    scheduler.step()
    waiting = [task for task in world.tasks.values() if task.queue == "a"]
    assert len(waiting) > 1
    taken = waiting[0].task_id
    world.slots["a"] = 0
    world.take(taken)
    for _ in range(61):
        world.clock.advance(1.0)
    scheduler.step()
    assert world.tasks[taken].queue == "a" and world.tasks[taken].status == "queued"
    assert all(task.queue != "a" for task in waiting[1:] if task.status == "queued")
