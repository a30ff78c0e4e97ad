"""Which points are tried, and points computed ahead for samplers that think for long."""

from __future__ import annotations

import threading
import time

import optuna
import pytest

from clearml_hpo.core.budget import Budget
from clearml_hpo.core.errors import ApiError, StudyError
from clearml_hpo.core.trial import TrialState
from clearml_hpo.scheduler import run_loop
from clearml_hpo.scheduler.ask_ahead import AskAhead
from clearml_hpo.scheduler.points import Points
from clearml_hpo.search.learner import OptunaStudy
from clearml_hpo.search.space import Float, Int, SearchSpace
from clearml_hpo.testing import Simulation
from tests.unit.scheduler.driving import Pauses, drive, make, quadratic, states

Told = optuna.trial.TrialState
LINE = SearchSpace({"x": Float(0.0, 1.0)})
FEW = SearchSpace({"n": Int(1, 6)})
DEADLINE_S = 20.0


class Sampler(optuna.samplers.RandomSampler):
    """Notes in which thread it is asked, and thinks until it may go on; fails at the n-th ask if so told."""

    def __init__(self, fails_at=None):
        super().__init__(seed=0)
        self.threads: list[str] = []
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.fails_at = fails_at

    def sample_independent(self, *arguments):
        self.threads.append(threading.current_thread().name)
        assert self.may_go_on.wait(DEADLINE_S)
        if self.fails_at is not None and len(self.threads) >= self.fails_at:
            raise ValueError("singular matrix")
        return super().sample_independent(*arguments)


class SlowTimer:
    """Each ask seems to take so long."""

    def __init__(self, seconds):
        self.now, self.seconds = 0.0, seconds

    def __call__(self):
        self.now += self.seconds
        return self.now


@pytest.mark.parametrize("sampler", [optuna.samplers.TPESampler, optuna.samplers.RandomSampler])
def test_each_point_of_a_grid_is_tried_once_however_it_is_written(sampler):
    world = Simulation(lambda params: [1.0], workers=2)
    space = SearchSpace({"General/x": Float(0.0, 1.0, step=0.1)})
    scheduler = make(world, trials=30, space=space, sampler=sampler(seed=1))
    for x in (0.3, 0.6, 0.7):
        scheduler.enqueue({"General/x": x})
    drive(scheduler, world)
    assert sorted(round(trial.params["General/x"], 6) for trial in scheduler.trials) == [n / 10 for n in range(11)]
    assert scheduler.ended == "every point of the search space was tried"


def ahead_of(sampler, space=LINE, *, seconds=1.0):
    study = OptunaStudy(space, ["minimize"], sampler=sampler)
    points = Points(study, lambda number, known: study.fail(number), rerun_duplicates=False)
    return AskAhead(points, study.fail, timer=SlowTimer(seconds)), points, study


def wait_for(ask):
    until = time.monotonic() + DEADLINE_S
    while (point := ask()) is None:
        assert time.monotonic() < until, "no point came"
        time.sleep(0.002)
    return point


def take(ahead, points, numbers, most=9):
    taken = []
    for number in numbers:
        taken.append(wait_for(lambda number=number: ahead.next(number, most)))
        points.tried(number, taken[-1])
    return taken


# --- points ---------------------------------------------------------------------------------------------------------


def test_what_a_person_wants_comes_first_and_once():
    _, points, study = ahead_of(Sampler())
    for x in (0.25, 0.75, 0.25):
        points.enqueue({"x": x})
    found = []
    for number in range(3):
        found.append(points.next(number))
        points.tried(number, found[-1])
    assert [point["x"] for point in found[:2]] == [0.25, 0.75]
    assert found[2]["x"] not in (0.25, 0.75)
    assert len(study.optuna_study.trials) == 3


def test_equal_numbers_of_another_type_are_another_point():
    _, points, _ = ahead_of(Sampler())
    points.tried(0, {"x": 1})
    points.enqueue({"x": 1.0})
    points.enqueue({"x": 1})
    assert points.wanted(1) == {"x": 1.0}
    assert points.wanted(2) is None


def test_a_finite_space_is_exhausted_without_asking_in_vain():
    sampler = Sampler()
    _, points, _ = ahead_of(sampler, FEW)
    for number in range(6):
        points.tried(number, points.next(number))
    asks = points.asks
    assert points.next(6) is None and points.asks == asks


# --- ahead ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.0, 0.05])
def test_a_quick_sampler_is_asked_when_its_point_is_needed(seconds):
    sampler = Sampler()
    ahead, points, study = ahead_of(sampler, seconds=seconds)
    taken = take(ahead, points, range(20))
    alone = OptunaStudy(LINE, ["minimize"], sampler=optuna.samplers.RandomSampler(seed=0))
    assert taken == [alone.ask(number) for number in range(20)]
    assert set(sampler.threads) == {threading.current_thread().name}
    assert len(study.optuna_study.trials) == 20


def test_one_slow_ask_is_no_slow_sampler():
    timer = iter([0.0, 60.0, *[60.0] * 100])
    study = OptunaStudy(LINE, ["minimize"], sampler=(sampler := Sampler()))
    points = Points(study, study.fail, rerun_duplicates=False)
    ahead = AskAhead(points, study.fail, timer=lambda: next(timer))
    take(ahead, points, range(20))
    assert set(sampler.threads) == {threading.current_thread().name}


def test_a_slow_sampler_has_points_ready_in_a_thread():
    sampler = Sampler()
    ahead, points, _ = ahead_of(sampler)
    taken = take(ahead, points, range(12))
    assert len({point["x"] for point in taken}) == 12
    assert sampler.threads[0] == threading.current_thread().name
    assert sampler.threads[-1].startswith("points ahead")
    ahead.close()


def test_nobody_waits_for_a_slow_sampler():
    sampler = Sampler()
    ahead, points, _ = ahead_of(sampler)
    take(ahead, points, range(5))
    sampler.may_go_on.clear()
    assert ahead.next(5, 9) is None and ahead.is_thinking
    sampler.may_go_on.set()
    take(ahead, points, [5])
    assert not ahead.is_thinking
    ahead.close()


@pytest.mark.parametrize(("most", "ready"), [(1, 1), (2, 2), (4, 4), (50, 4)])
def test_no_more_points_are_ready_than_may_be_needed(most, ready):
    sampler = Sampler()
    ahead, points, study = ahead_of(sampler)
    take(ahead, points, range(5))
    sampler.may_go_on.clear()
    assert ahead.next(5, most) is None
    sampler.may_go_on.set()
    take(ahead, points, [5], most=1)
    ahead.close()
    wait_until(lambda: not running(study) or len(running(study)) == 6)
    assert len(study.optuna_study.trials) <= 5 + ready


def running(study):
    return [t for t in study.optuna_study.trials if t.state is Told.RUNNING]


def wait_until(holds):
    until = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.002)


def test_points_that_are_left_over_are_told_as_failed_and_the_thread_ends():
    sampler = Sampler()
    ahead, points, study = ahead_of(sampler)
    take(ahead, points, range(8))
    sampler.may_go_on.clear()
    used = 8 if ahead.next(8, 9) is None else 9
    ahead.close()
    sampler.may_go_on.set()
    wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("points ahead")])
    wait_until(lambda: len(running(study)) == used)
    assert ahead.next(8, 9) is None and not ahead.is_thinking
    ahead.close()


def test_what_goes_wrong_in_the_thread_is_raised_where_the_point_is_needed():
    sampler = Sampler(fails_at=8)
    ahead, points, _ = ahead_of(sampler)
    with pytest.raises(ValueError, match="singular"):
        take(ahead, points, range(12))
    ahead.close()


def test_a_small_space_is_tried_to_its_end_in_the_thread_too():
    ahead, points, _ = ahead_of(Sampler(), SearchSpace({"n": Int(1, 9)}))
    taken = take(ahead, points, range(9))
    assert sorted(point["n"] for point in taken) == list(range(1, 10))
    wait_until(lambda: ahead.next(9, 9) is None and not ahead.is_thinking)
    ahead.close()


def test_a_point_that_a_person_wants_late_comes_after_those_under_way():
    sampler = Sampler()
    ahead, points, _ = ahead_of(sampler)
    take(ahead, points, range(6), most=3)
    points.enqueue({"x": 0.123})
    taken = take(ahead, points, range(6, 16), most=1)
    assert {"x": 0.123} in taken
    ahead.close()


# --- in the loop ----------------------------------------------------------------------------------------------------


class Thinking(optuna.samplers.RandomSampler):
    """Takes real time for each point."""

    def __init__(self, seconds=0.01):
        super().__init__(seed=0)
        self.seconds = seconds

    def sample_independent(self, *arguments):
        time.sleep(self.seconds)
        return super().sample_independent(*arguments)


def test_a_study_with_a_slow_sampler_has_the_same_budget_and_numbers():
    world = Simulation(quadratic, workers=3)
    # A hundred times slower than it is.
    scheduler = make(world, trials=20, sampler=Thinking(), timer=lambda: 100 * time.perf_counter())
    until = time.monotonic() + DEADLINE_S
    while scheduler.step() and time.monotonic() < until:
        world.advance(0.1)
        time.sleep(0.001)
    assert states(scheduler) == [TrialState.COMPLETED] * 20
    assert [trial.number for trial in scheduler.trials] == list(range(20))
    values = {trial.params["General/x"]: trial.value for trial in scheduler.trials}
    told = [t for t in scheduler.study.optuna_study.trials if t.state is Told.COMPLETE]
    assert {t.params["General/x"]: t.value for t in told} == values
    wait_until(lambda: not running(scheduler.study))


def test_the_loop_goes_on_observing_while_the_sampler_thinks():
    world = Simulation(quadratic, workers=2)
    sampler = Sampler()
    scheduler = make(world, trials=30, sampler=sampler, timer=SlowTimer(1.0), prefetch=0)
    for _ in range(300):
        scheduler.step()
        world.advance()
        if len(scheduler.trials) >= 12:
            break
        time.sleep(0.001)
    sampler.may_go_on.clear()
    for _ in range(30):
        scheduler.step()
        world.advance()
    assert not [t for t in scheduler.trials if t.state.is_live] and not scheduler.ended
    assert TrialState.COMPLETED in states(scheduler)
    sampler.may_go_on.set()
    until = time.monotonic() + DEADLINE_S
    while scheduler.step() and time.monotonic() < until:
        world.advance()
        time.sleep(0.001)
    assert states(scheduler) == [TrialState.COMPLETED] * 30


def test_trials_are_not_looked_at_while_a_slow_sampler_fills_the_slots():
    world = Simulation(quadratic, workers=40)
    scheduler = make(world, trials=40, sampler=Thinking(), timer=SlowTimer(1.0))
    steps = []

    def stepped():
        steps.append((world.calls["create"], world.calls["poll"]))
        if len(scheduler.trials) < 40:
            world.advance(0.01)

    run_loop(scheduler, 10.0, Pauses(world), on_step=stepped)
    assert states(scheduler) == [TrialState.COMPLETED] * 40
    filling = [polls for created, polls in steps if created < 40]
    assert len(filling) > 10 and max(filling) <= 1


def slowly(workers):
    world = Simulation(lambda params: [1.0] * 10_000, workers=workers)
    return world, make(world, trials=60, sampler=Thinking(0.3), timer=time.perf_counter, prefetch=0)


def test_a_server_in_trouble_is_left_alone_although_a_point_is_ready():
    world, scheduler = slowly(8)
    stopped, polls, real = threading.Event(), [], world.poll

    def poll(ids):
        if polls or scheduler.is_thinking:
            polls.append(time.monotonic())
            if polls[-1] - polls[0] > 2:
                stopped.set()
            raise ApiError("tasks.get_all", 503, 0, "in trouble")
        return real(ids)

    world.poll = poll
    run_loop(scheduler, 0.5, stopped)
    assert len(polls) < 6


def test_the_loop_looks_and_rests_once_the_room_has_gone():
    world, scheduler = slowly(10)
    stopped, since, steps = threading.Event(), [], []

    def before():
        if not since and scheduler.is_thinking and len(scheduler.trials) >= 7:
            world.slots["default"] = 7
            scheduler.look_at_workers()
            since.append((time.monotonic(), world.calls["poll"]))
        if since:
            steps.append(0)
            if time.monotonic() - since[0][0] > 3:
                stopped.set()

    run_loop(scheduler, 0.5, stopped, before_step=before)
    assert len(steps) < 30
    assert world.calls["poll"] - since[0][1] >= 5


def test_points_left_over_by_a_study_that_stops_are_told_as_failed():
    world = Simulation(lambda params: [1.0] * 5, workers=2)
    sampler = Sampler()
    scheduler = make(world, budget=Budget(wall_s=60), sampler=sampler, timer=SlowTimer(1.0))
    until = time.monotonic() + DEADLINE_S
    while scheduler.step() and time.monotonic() < until:
        world.advance()
        time.sleep(0.001)
    assert "time budget" in scheduler.ended
    wait_until(lambda: not running(scheduler.study))
    assert max(trial.number for trial in scheduler.trials) == len(scheduler.trials) - 1


def test_a_point_outside_the_space_is_none_of_its_points():
    world = Simulation(lambda params: [float(params["n"])], workers=1)
    scheduler = make(world, trials=20, space=FEW)
    scheduler.enqueue({"n": 99})
    scheduler.enqueue({"n": 99})
    drive(scheduler, world)
    assert sorted(trial.params["n"] for trial in scheduler.trials) == [1, 2, 3, 4, 5, 6, 99]


def test_an_error_of_the_sampler_ends_the_run():
    class Broken(Thinking):
        def sample_independent(self, *arguments):
            raise StudyError("no point of the search space was found")

    world = Simulation(quadratic)
    scheduler = make(world, trials=5, sampler=Broken())
    with pytest.raises(StudyError):
        drive(scheduler, world)
