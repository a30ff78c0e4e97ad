"""Places on shared resources: never too many, never idle beside work, by order, time and weight."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearml_hpo.campaign.resources import Resource, Resources, Share
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.scheduler import Placement

POLL_S = 1.0


@dataclass
class Study:
    """A study that polls: it learns of ends, and asks for places, once a second."""

    name: str
    share: Share
    trial_s: float
    trials: int
    weight: float
    live: list[Trial] = field(default_factory=list)
    ended: list[Trial] = field(default_factory=list)
    launched: int = 0


class World:
    """Resources that run what waits for them, one after the other, and studies that poll."""

    def __init__(self, takes, prefetch):
        self.now = 0.0
        self.names = [f"r{index}" for index in range(len(takes))]
        self.takes = dict(zip(self.names, takes, strict=True))
        self.prefetch = prefetch
        self.pool = Resources(
            [Resource(name, f"queue-{name}", count) for name, count in self.takes.items()],
            prefetch=prefetch,
            lately_s=2.5 * POLL_S,
            clock=lambda: self.now,
        )
        self.studies = []
        self.waiting = {name: [] for name in self.names}
        self.running = {name: [] for name in self.names}
        self.busy_s = dict.fromkeys(self.names, 0.0)
        self.idle_s = dict.fromkeys(self.names, 0.0)  # while a study that may use it had trials left
        self.ids = itertools.count()

    def study(self, may_use, *, rank=0, weight=1.0, trial_s=5.0, trials=10**6):
        share = self.pool.join([self.names[i] for i in may_use], rank=rank, weight=weight)
        self.studies.append(Study(f"s{len(self.studies)}", share, trial_s, trials, weight))
        return self.studies[-1]

    def run(self, until_s):
        """To the end of all trials, or until then."""
        events = [(0.1 * index, index) for index in range(len(self.studies))]
        heapq.heapify(events)
        while events:
            at, index = heapq.heappop(events)
            if at > until_s:
                break
            self._pass(at)
            study = self.studies[index]
            self._poll(study)
            if study.live or study.launched < study.trials:
                heapq.heappush(events, (at + POLL_S, index))
            else:
                study.share.leave()

    def _pass(self, to):
        while self.now < to:
            step = min(0.1, to - self.now)
            for name in self.names:
                while len(self.running[name]) < self.takes[name] and self.waiting[name]:
                    study, trial = self.waiting[name].pop(0)
                    started = replace(trial, state=TrialState.RUNNING, started_at=self.now)
                    self._change(study, started)
                    self.running[name].append((study, started))
                self.busy_s[name] += step * len(self.running[name])
                if not self.running[name] and self._has_work(name):
                    self.idle_s[name] += step
            self.now += step
            for name in self.names:
                for study, trial in list(self.running[name]):
                    if self.now - trial.started_at >= study.trial_s - 1e-9:
                        self.running[name].remove((study, trial))
                        self._change(study, replace(trial, state=TrialState.COMPLETED, ended_at=self.now))

    def _has_work(self, name):
        return any(
            study.launched < study.trials and name in [r.name for r in study.share.resources] for study in self.studies
        )

    def _change(self, study, trial):
        study.live = [trial if t.task_id == trial.task_id else t for t in study.live]

    def _poll(self, study):
        ended = [trial for trial in study.live if not trial.state.is_live]
        study.live = [trial for trial in study.live if trial.state.is_live]
        study.ended += ended
        study.share.charge(ended)
        room = study.share.room(Placement(study.share.queues), {}, study.live, ())
        while study.launched < study.trials and room.is_left:
            queue = room.take(study.share.queues)
            assert queue is not None
            name = queue.removeprefix("queue-")
            trial = Trial(study.launched, {}, f"t{next(self.ids)}", queue=queue)
            study.launched += 1
            study.live.append(trial)
            self.waiting[name].append((study, trial))
            assert name in [resource.name for resource in study.share.resources]
            there = len(self.waiting[name]) + len(self.running[name])
            assert there <= max(1, self.takes[name] * (1 + self.prefetch))


def seconds(study):
    return sum(trial.duration for trial in study.ended)


subsets = st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True)
some_studies = st.lists(
    st.tuples(subsets, st.integers(0, 2), st.sampled_from([0.5, 1.0, 3.0]), st.floats(0.3, 20.0), st.integers(1, 30)),
    min_size=1,
    max_size=6,
)


@given(st.lists(st.integers(1, 3), min_size=3, max_size=3), st.integers(0, 3), some_studies)
def test_no_resource_is_ever_overfull_and_every_trial_comes_to_run_where_it_may(takes, prefetch, studies):
    world = World(takes, prefetch)
    for may_use, rank, weight, trial_s, trials in studies:
        world.study(may_use, rank=rank, weight=weight, trial_s=trial_s, trials=trials)
    world.run(until_s=10_000)
    assert all(len(study.ended) == study.trials for study in world.studies)


@given(st.lists(st.floats(3.0, 30.0), min_size=1, max_size=5), subsets)
def test_no_resource_idles_beside_a_study_that_may_use_it(trial_s, may_use):
    """As long as trials take longer than a study takes to hear of an end."""
    world = World([1, 1, 1], prefetch=1)
    for each in trial_s:
        world.study(may_use, trial_s=each)
    world.run(until_s=300)
    for index in may_use:
        assert world.idle_s[f"r{index}"] <= 2 * POLL_S, "the first moments alone"


@pytest.mark.parametrize("prefetch", [0, 1, 2])
@given(st.lists(st.tuples(st.sampled_from([1.0, 2.0, 4.0]), st.floats(3.0, 15.0)), min_size=2, max_size=4))
def test_time_is_shared_by_weight(prefetch, studies):
    world = World([1, 1], prefetch)
    for weight, trial_s in studies:
        world.study([0, 1], weight=weight, trial_s=trial_s)
    world.run(until_s=1_000)
    per_weight = [seconds(study) / study.weight for study in world.studies]
    longest = max(trial_s for _, trial_s in studies)
    assert max(per_weight) - min(per_weight) <= 10 * longest, per_weight


def test_earlier_data_sets_come_first_and_later_ones_take_what_is_left():
    world = World([1, 1], prefetch=1)
    first = world.study([0], rank=0, trials=40)
    second = world.study([0, 1], rank=1, trials=40)
    world.run(until_s=200)
    on_first = [trial for trial in second.ended if trial.queue == "queue-r0"]
    assert len(first.ended) >= 35 and len(on_first) <= 1
    assert len([trial for trial in second.ended if trial.queue == "queue-r1"]) >= 35


def test_a_study_that_wants_nothing_is_not_waited_for():
    world = World([1], prefetch=1)
    done, busy = world.study([0], trials=0, weight=1000.0), world.study([0], trials=30)
    world.run(until_s=200)
    assert not done.ended and len(busy.ended) == 30 and world.idle_s["r0"] <= 2 * POLL_S


def test_a_resource_runs_dry_when_nobody_asks_for_it_any_more():
    world = World([1, 1], prefetch=1)
    study = world.study([0])
    assert not world.pool.runs_dry("r0") and world.pool.runs_dry("r1")
    world.run(until_s=20)
    assert not world.pool.runs_dry("r0"), "it is refused a place, and wants one"
    world.now += 600
    assert not world.pool.runs_dry("r0"), "it cannot ask while the server is away, and wants one all the same"
    study.share.room(Placement(study.share.queues), {}, study.live, ())
    assert world.pool.runs_dry("r0") and world.pool.live_on("r0") == 2
    study.share.leave()
    assert world.pool.live_on("r0") == 0


def test_a_study_that_is_about_to_end_does_not_keep_others_closed():
    world = World([1], prefetch=1)
    study = world.study([0])
    world.run(until_s=5)
    study.share.is_ending = True
    assert world.pool.runs_dry("r0")


def test_a_study_takes_no_more_than_it_may_at_once():
    world = World([4], prefetch=1)
    share = world.study([0]).share
    room = share.room(Placement(share.queues, concurrency=2), {}, (), ())
    assert [room.take(share.queues) for _ in range(3)] == ["queue-r0", "queue-r0", None]
    assert not room.is_left


def test_studies_that_begin_together_begin_on_different_resources():
    world = World([1, 1], prefetch=1)
    assert [world.study([0, 1]).share.queues[0] for _ in range(2)] == ["queue-r0", "queue-r1"]


def test_a_queue_that_others_serve_takes_as_many_as_it_has_workers():
    pool = Resources([Resource("gpu", "gpu", takes=None)], prefetch=1, clock=lambda: 0.0)
    share = pool.join(["gpu"], rank=0)
    for workers, places in ((0, 1), (1, 2), (3, 6)):
        room = share.room(Placement(("gpu",)), {"gpu": workers}, (), ())
        assert sum(room.take(("gpu",)) is not None for _ in range(9)) == places
    gone = share.room(Placement(("gpu",)), {"gpu": 3}, (), ("gpu",))
    assert not gone.is_left and gone.take(("gpu",)) is None


def test_a_queue_that_nobody_serves_gets_nothing_while_another_resource_is_served():
    pool = Resources([Resource("farm", "farm", None), Resource("one", "one", 1)], prefetch=1, lately_s=5.0)
    share = pool.join(["farm", "one"], rank=0)
    assert share.queues[0] == "one"
    room = share.room(Placement(("farm", "one")), {"farm": 0, "one": 1}, (), ())
    assert [room.take(("farm", "one")) for _ in range(3)] == ["one", "one", None]
    room = share.room(Placement(("farm", "one")), {"farm": 2, "one": 1}, (), ())
    assert sorted(room.take(("farm", "one")) for _ in range(6)) == ["farm"] * 4 + ["one"] * 2
