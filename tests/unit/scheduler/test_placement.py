"""Which queue trials go to, how many at once, and what happens when no worker serves a queue."""

from __future__ import annotations

from collections import Counter

import pytest

from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.scheduler import Failures, Placement, Retry, Rule
from clearml_hpo.scheduler.placement import Room
from clearml_hpo.search.space import Categorical, Float, SearchSpace
from clearml_hpo.testing import Simulation
from tests.unit.scheduler.driving import Troubled, drive, make, states, until

SPACE = SearchSpace({"General/booster": Categorical(("gbtree", "dart", "linear")), "General/x": Float(0.0, 1.0)})
RULES = (
    Rule({"General/booster": ("gbtree", "dart")}, ("gpu",)),
    Rule({"General/booster": ("linear",)}, ("cpu",)),
)


def steady(params):
    return [params["General/x"]] * 4


def queues_of(scheduler):
    return Counter(trial.queue for trial in scheduler.trials)


def waiting(world, queue):
    return sum(world.tasks[task_id].queue == queue for task_id in world.queue)


def trials_in(*queues):
    return [Trial(number, {}, f"task-{number}", queue=queue) for number, queue in enumerate(queues)]


# --- the room ---------------------------------------------------------------------------------------------------


def test_the_first_rule_that_fits_counts_else_the_queues_of_all():
    placement = Placement(("default",), (*RULES, Rule({"General/booster": ("dart",)}, ("never",))))
    assert placement.queues_for({"General/booster": "dart"}) == ("gpu",)
    assert placement.queues_for({"General/booster": "other"}) == ("default",)
    assert placement.queues_for({}) == ("default",)
    assert placement.all_queues == ("default", "gpu", "cpu", "never")


def test_a_rule_of_two_parameters_needs_both():
    rule = Rule({"a": (1,), "b": (2, 3)}, ("q",))
    assert rule.fits({"a": 1, "b": 3, "c": 0})
    assert not rule.fits({"a": 1}) and not rule.fits({"a": 1, "b": 1})


@pytest.mark.parametrize(
    ("workers", "live", "expected"),
    [
        ({"a": 2, "b": 2}, (), "a"),
        ({"a": 2, "b": 2}, ("a",) * 4, "b"),
        ({"a": 2, "b": 2}, ("a",) * 4 + ("b",) * 4, None),
        ({"b": 2}, (), "b"),
        ({"b": 2}, ("b",) * 4, None),  # better to wait than to stand where nobody serves
        ({}, (), "a"),
        ({}, ("a",), "b"),
        ({}, ("a", "b"), None),
    ],
)
def test_the_first_queue_with_room_that_is_served(workers, live, expected):
    room = Room(Placement(("a", "b")), workers, trials_in(*live))
    assert room.is_left is (expected is not None)
    assert room.take(("a", "b")) == expected


def test_room_is_taken_once():
    room = Room(Placement(("a",), concurrency=2, prefetch=0), {"a": 2}, ())
    assert [room.take(("a",)) for _ in range(3)] == ["a", "a", None]


@pytest.mark.parametrize(("workers", "taken"), [(1, 4), (2, 5), (3, 6), (8, 3)])
def test_what_waits_counts_on_workers_that_no_other_limit_keeps_idle(workers, taken):
    room = Room(Placement(("a",), per_queue={"a": 3}), {"a": workers}, ())
    assert len(list(iter(lambda: room.take(("a",)), None))) == taken


def test_a_queue_of_retries_is_no_room_for_new_trials():
    placement = Placement(("a",), retry_queues=("r",))
    assert not Room(placement, {"a": 1, "r": 5}, trials_in("a", "a")).is_left


# --- the loop ---------------------------------------------------------------------------------------------------


def test_trials_go_where_the_rules_say():
    world = Simulation(steady, workers={"gpu": 2, "cpu": 1})
    scheduler = make(world, trials=30, space=SPACE, placement=Placement(("gpu",), RULES))
    drive(scheduler, world)
    for trial in scheduler.trials:
        assert trial.queue == ("cpu" if trial.params["General/booster"] == "linear" else "gpu")
        assert trial.worker.startswith(trial.queue)
    assert len(queues_of(scheduler)) == 2


def test_trials_for_workers_to_come_do_not_hold_up_the_others():
    world = Simulation(steady, workers={"gpu": 0, "cpu": 2})
    scheduler = make(world, trials=60, space=SPACE, placement=Placement(("gpu",), RULES))
    for _ in range(100):
        scheduler.step()
        world.advance()
    done = [trial for trial in scheduler.trials if trial.state is TrialState.COMPLETED]
    assert {trial.queue for trial in done} == {"cpu"} and len(done) > 10
    assert waiting(world, "gpu") == 1
    world.slots["gpu"] = 3
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 60
    assert [trial.number for trial in scheduler.trials] == list(range(60))


def test_few_points_wait_for_a_queue_that_is_full():
    world = Simulation(lambda params: [1.0] * 10_000, workers={"gpu": 1, "cpu": 50})
    scheduler = make(world, trials=100, space=SPACE, placement=Placement(("gpu",), RULES))
    for _ in range(20):
        scheduler.step()
        world.advance()
    assert len(scheduler.study.optuna_study.trials) - len(scheduler.trials) == 8


def test_the_preferred_queue_is_filled_first():
    world = Simulation(steady, workers={"fast": 1, "slow": 1})
    scheduler = make(world, trials=20, space=SPACE, placement=Placement(("fast", "slow")))
    scheduler.step()
    assert [trial.queue for trial in scheduler.trials] == ["fast", "fast", "slow", "slow"]
    drive(scheduler, world)
    assert queues_of(scheduler)["fast"] >= 8 and queues_of(scheduler)["slow"] >= 8


def test_no_more_than_the_concurrency_of_each_queue_and_in_all():
    world = Simulation(steady, workers={"gpu": 4, "cpu": 9})
    placement = Placement(("gpu", "cpu"), per_queue={"gpu": 3, "cpu": 2}, concurrency=4)
    scheduler = make(world, trials=40, space=SPACE, placement=placement)
    seen = Counter()
    for _ in range(500):
        if not scheduler.step():
            break
        world.advance()
        running = Counter(task.queue for task in world.running)
        assert running["gpu"] <= 3 and running["cpu"] <= 2 and sum(running.values()) <= 4
        seen |= running
    assert len(scheduler.trials) == 40
    assert seen == {"gpu": 3, "cpu": 1}, "the first one is the preferred one"


@pytest.mark.parametrize("prefetch", [0, 1, 3])
def test_so_many_wait_for_each_worker(prefetch):
    world = Simulation(steady, workers=2)
    scheduler = make(world, trials=100, space=SPACE, prefetch=prefetch)
    scheduler.step()
    world.advance()
    scheduler.step()
    assert len(world.running) == 2 and len(world.queue) == 2 * prefetch


def test_one_trial_stands_in_a_queue_without_workers_and_no_point_is_asked_for_in_vain():
    world = Simulation(steady, workers={"a": 1, "b": 0})
    scheduler = make(world, trials=50, space=SPACE, placement=Placement(("a", "b")))
    for _ in range(5):
        scheduler.step()
    assert len(scheduler.study.optuna_study.trials) == len(scheduler.trials) == 2


@pytest.mark.parametrize(
    ("placement", "waiting"),
    [
        (Placement(("a",)), 1),
        (Placement(("a",), concurrency=4), 4),
        (Placement(("a",), per_queue={"a": 3}), 3),
        (Placement(("a", "b"), concurrency=4), 2),
    ],
)
def test_so_many_trials_wait_for_workers_that_others_start(placement, waiting):
    world = Simulation(steady, workers={"a": 0, "b": 0})
    scheduler = make(world, trials=50, space=SPACE, placement=placement)
    for _ in range(3):
        scheduler.step()
    assert len(world.queue) == waiting


def test_a_queue_that_nobody_serves_is_said_at_once_and_another_takes_all():
    world = Simulation(steady, workers={"a": 0, "b": 2})
    scheduler = make(world, trials=10, space=SPACE, placement=Placement(("a", "b")))
    scheduler.step()
    assert scheduler.notes[0].startswith("no worker serves the queue 'a'")
    drive(scheduler, world)
    assert queues_of(scheduler) == {"b": 10}
    assert len([note for note in scheduler.notes if "'a'" in note]) == 1


def test_workers_that_vanish_are_said_within_a_minute_and_what_waits_there_moves():
    world = Simulation(steady, workers={"a": 2, "b": 1})
    scheduler = make(world, trials=60, space=SPACE, placement=Placement(("a", "b")))
    for _ in range(5):
        scheduler.step()
        world.advance()
    world.slots["a"], gone_at = 0, world.clock()
    stranded = [world.tasks[task_id] for task_id in world.queue if world.tasks[task_id].queue == "a"]
    assert stranded
    until(scheduler, world, lambda: any("are gone" in note for note in scheduler.notes))
    assert world.clock() - gone_at <= 62
    assert any(note.startswith("no worker serves queue 'a': waiting trials ") for note in scheduler.notes)
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 60
    assert {task.queue for task in stranded} == {"b"}
    assert len(world.tasks) == 60, "they are moved, not made anew"


@pytest.mark.parametrize("state", ["stopped", "created"])
def test_what_somebody_has_stopped_or_taken_back_is_not_moved(state):
    world = Simulation(steady, workers={"a": 2, "b": 1})
    scheduler = make(world, trials=60, space=SPACE, placement=Placement(("a", "b")))
    for _ in range(5):
        scheduler.step()
        world.advance()
    world.slots["a"] = 0
    unwanted, moved, *_ = (task for task_id in world.queue if (task := world.tasks[task_id]).queue == "a")
    world.end(unwanted.task_id, state)
    world.clock.advance(61)
    scheduler.step()
    assert moved.queue == "b", "the look at the workers was due"
    assert (unwanted.status, unwanted.queue) == (state, "a")
    assert scheduler.trial(unwanted.number).state is TrialState.ABORTED


def test_trials_that_move_keep_to_the_concurrency_of_their_new_queue():
    world = Simulation(steady, workers={"a": 6, "b": 8})
    placement = Placement(("a", "b"), per_queue={"a": 6, "b": 2})
    scheduler = make(world, trials=40, space=SPACE, placement=placement)
    for _ in range(3):
        scheduler.step()
        world.advance()
    world.slots["a"] = 0
    for _ in range(500):
        if not scheduler.step():
            break
        world.advance()
        assert sum(task.queue == "b" for task in world.running) <= 2
    assert states(scheduler) == [TrialState.COMPLETED] * 40


def test_trials_that_may_go_nowhere_else_wait_until_their_queue_is_served_again():
    world = Simulation(steady, workers={"gpu": 1, "cpu": 1})
    scheduler = make(world, trials=20, space=SPACE, placement=Placement(("gpu",), RULES))
    for _ in range(3):
        scheduler.step()
        world.advance()
    world.slots["gpu"] = 0
    for _ in range(200):
        scheduler.step()
        world.advance()
    assert any("the workers of queue 'gpu' are gone" in note for note in scheduler.notes)
    assert not any("move to another queue" in note for note in scheduler.notes)
    world.slots["gpu"] = 1
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 20


@pytest.mark.parametrize("method", ["withdraw", "submit", "workers"])
@pytest.mark.parametrize("heard", [False, True], ids=["unheard", "heard"])
def test_a_call_that_fails_while_trials_move_loses_none(method, heard):
    from clearml_hpo.core.errors import ApiError

    world = Simulation(steady, workers={"a": 2, "b": 1})
    scheduler = make(world, trials=30, space=SPACE, placement=Placement(("a", "b")))
    for _ in range(5):
        scheduler.step()
        world.advance()
    world.slots["a"] = 0
    Troubled(world, lambda call: call in (1, 2, 4), (method,), heard=heard)
    for _ in range(500):
        try:
            if not scheduler.step():
                break
        except ApiError:
            pass
        world.advance()
    assert states(scheduler) == [TrialState.COMPLETED] * 30
    assert len(world.tasks) == 30


def test_a_study_that_stops_while_trials_move_takes_them_back():
    world = Simulation(steady, workers={"a": 2, "b": 1})
    scheduler = make(world, trials=30, space=SPACE, placement=Placement(("a", "b"), per_queue={"b": 1}, prefetch=2))
    for _ in range(3):
        scheduler.step()
        world.advance()
    world.slots["a"] = 0
    until(scheduler, world, lambda: any("move to another queue" in note for note in scheduler.notes))
    scheduler.stop("enough")
    drive(scheduler, world)
    assert not world.queue and not world.running
    assert not [trial for trial in scheduler.trials if trial.state.is_live]
    assert TrialState.STOPPED in states(scheduler)


def test_workers_that_come_later_are_found_soon():
    world = Simulation(steady, workers=0)
    scheduler = make(world, trials=8, space=SPACE)
    scheduler.step()
    world.slots["default"] = 4
    until(scheduler, world, lambda: len(world.running) == 4, steps=14)


# --- queues that are deleted ----------------------------------------------------------------------------------------


def test_the_study_goes_on_without_a_queue_that_was_deleted():
    world = Simulation(steady, workers={"fast": 2, "slow": 1})
    scheduler = make(world, trials=20, space=SPACE, placement=Placement(("fast", "slow")))
    until(scheduler, world, lambda: TrialState.COMPLETED in states(scheduler))
    assert waiting(world, "fast") == 2
    world.delete_queue("fast")
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 20 and len(world.tasks) == 20
    assert queues_of(scheduler)["slow"] > 10 and not scheduler.failure
    assert scheduler.workers == {"fast": 0, "slow": 1}
    assert [note for note in scheduler.notes if "deleted" in note] == [
        "the queue 'fast' was deleted: nothing goes there any more"
    ]


def test_a_retry_whose_own_queue_was_deleted_goes_where_others_go():
    world = Simulation(steady, workers={"a": 1, "again": 1})
    world.delete_queue("again")
    failures = Failures({TrialState.FAILED: Retry(1, "again")})
    scheduler = make(
        world, trials=2, space=SPACE, failures=failures, placement=Placement(("a",), retry_queues=("again",))
    )
    until(scheduler, world, lambda: TrialState.RUNNING in states(scheduler))
    world.end("task-0", "failed")
    drive(scheduler, world)
    assert states(scheduler) == [TrialState.COMPLETED] * 2
    assert scheduler.trial(0).attempt == 2 and queues_of(scheduler) == {"a": 2}


@pytest.mark.parametrize("deleted", [("gpu", "cpu"), ("cpu",)])
def test_a_study_some_of_whose_trials_have_nowhere_to_go_fails(deleted):
    world = Simulation(steady, workers={"gpu": 2, "cpu": 2})
    scheduler = make(world, trials=60, space=SPACE, placement=Placement(("gpu",), RULES))
    until(scheduler, world, lambda: Counter(states(scheduler))[TrialState.RUNNING] > 2)
    running = [task.task_id for task in world.running]
    for queue in deleted:
        world.delete_queue(queue)
    drive(scheduler, world)
    assert scheduler.failure.startswith("every queue that some trials may go to was deleted: '")
    assert {world.tasks[task_id].status for task_id in running} == {"completed"}
    assert set(states(scheduler)) == {TrialState.COMPLETED, TrialState.STOPPED}
    assert not world.queue and not world.running


def test_what_is_taken_out_of_a_queue_that_is_still_there_was_not_wanted():
    world = Simulation(steady, workers={"a": 1})
    scheduler = make(world, trials=8, space=SPACE, placement=Placement(("a",), prefetch=4))
    scheduler.step()
    world.withdraw(list(world.queue))
    scheduler.step()
    assert set(states(scheduler)[:5]) == {TrialState.ABORTED} and world.calls["deleted"] == 1
