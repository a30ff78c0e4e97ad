"""Trials that are handed out: as many as are asked for, judged as they report, watched by who hands them out."""

from __future__ import annotations

import threading
import time

import optuna
import pytest

from clearml_hpo.core.bell import Bell
from clearml_hpo.core.budget import TrialLimits
from clearml_hpo.core.trial import TrialState
from clearml_hpo.scheduler import Failures, Placement, run_loop
from clearml_hpo.testing import Simulation
from tests.unit.scheduler.driving import make, quadratic

OUT = Placement(("out",), outside=frozenset({"out"}))


def test_as_many_trials_as_are_asked_for_and_none_in_line():
    world = Simulation(quadratic, workers={"out": 0})
    scheduler = make(world, placement=OUT)
    scheduler.step()
    assert scheduler.trials == (), "nobody asks"
    world.slots["out"] = 3
    scheduler.step()
    assert scheduler.trials == (), "it was looked at a moment ago"
    scheduler.look_at_workers()
    scheduler.step()
    assert len(scheduler.trials) == 3


def test_of_a_mixed_study_only_the_agents_have_trials_in_line():
    world = Simulation(quadratic, workers={"gpu": 2, "out": 3})
    scheduler = make(world, trials=50, placement=Placement(("gpu", "out"), outside=frozenset({"out"})))
    scheduler.step()
    queues = [trial.queue for trial in scheduler.trials]
    assert (queues.count("gpu"), queues.count("out")) == (4, 3)


def test_a_report_is_judged_at_once_and_its_history_is_not_read():
    world = Simulation(lambda params: [1.0] * 50, workers={"out": 4})
    pruner = optuna.pruners.ThresholdPruner(upper=5.0)
    scheduler = make(world, placement=OUT, pruner=pruner, limits=TrialLimits(min_iterations=2))
    scheduler.step()
    world.advance()
    scheduler.step()
    assert not scheduler.judge(0, 1, 9.0), "the study prunes from the second iteration on"
    assert scheduler.judge(0, 3, 9.0)
    assert not scheduler.judge(0, 3, 9.0), "a step counts once"
    assert not scheduler.judge(1, 3, 1.0)
    scheduler.step()
    assert world.calls["histories"] == 0


def test_silence_is_not_the_studys_concern():
    world = Simulation(lambda params: [1.0] * 5, workers={"out": 1})
    scheduler = make(world, placement=OUT, failures=Failures(lost_after_s=60.0, silent_after_s=60.0))
    scheduler.step()
    world.advance()
    world.silent.update(trial.task_id for trial in scheduler.trials)
    for _ in range(20):
        world.clock.advance(20.0)
        scheduler.step()
    assert [trial.state for trial in scheduler.trials] == [TrialState.RUNNING]


def test_a_bell_ends_a_long_pause():
    stopped = threading.Event()
    bell, world = Bell(stopped), Simulation(quadratic, workers={"out": 0})
    scheduler = make(world, trials=1, placement=OUT)
    loop = threading.Thread(target=run_loop, args=(scheduler, 600.0, stopped), kwargs={"bell": bell})
    loop.start()
    try:
        time.sleep(0.1)
        world.slots["out"] = 1
        bell.ring()
        until = time.monotonic() + 10
        while not scheduler.trials and time.monotonic() < until:
            time.sleep(0.01)
        assert len(scheduler.trials) == 1
    finally:
        stopped.set()
        loop.join(10)
    assert not loop.is_alive()


@pytest.mark.parametrize("rung", [True, False])
def test_a_wait_says_whether_it_was_rung(rung):
    bell = Bell(threading.Event())
    if rung:
        bell.ring()
    assert bell.wait(0.1) is rung
    assert bell.wait(0.01) is False, "once"


def test_a_bell_that_rings_all_the_time_leaves_room_between_steps():
    bell = Bell(threading.Event())
    began = time.monotonic()
    for _ in range(5):
        bell.ring()
        assert bell.wait(10.0)
    assert time.monotonic() - began >= 0.2 - 0.01
