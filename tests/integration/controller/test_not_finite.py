"""Trials that report NaN or infinity, which the SDK sends as 0: under a warm worker, and under a plain agent."""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import uuid

import pytest

from clearml_hpo import Study
from clearml_hpo.backend.nan_values import ReplacedValues
from clearml_hpo.backend.trial_tasks import LIVE, metric_fields, snapshot_of
from clearml_hpo.controller.warm_start import known_before
from clearml_hpo.core.goal import Goal, MetricConstraint, Objective
from clearml_hpo.fleet import AgentSlot, daemon
from clearml_hpo.machine.processes import end_session, identify
from clearml_hpo.study_file import load_study
from clearml_hpo.testing import ManualClock

from .driving import run
from .recorded import RecordedStudy

NAN, INF = math.nan, math.inf
# What each kind of trial reports of validation/loss, and of perf/latency with its last loss.
CURVES = {
    "fine": ([0.6, 0.5], 1.0),
    "last": ([0.25, NAN], 1.0),
    "inf": ([-INF], 1.0),
    "middle": ([0.4, NAN, 0.375], 1.0),
    "zero": ([0.7, 0.0], 1.0),
    "latency": ([0.1], NAN),
}
SCRIPT = """\
import os
from math import inf, nan
from clearml import Task
CURVES = {curves}
task = Task.init("tests", "not finite")
kind = task.connect({{"kind": "fine"}})["kind"]
if kind == "killed":
    os.kill(os.getpid(), 9)
losses, latency = CURVES[kind]
logger = task.get_logger()
for step, loss in enumerate(losses, start=1):
    logger.report_scalar("validation", "loss", loss, step)
    logger.report_scalar("validation", "other", nan, step)
logger.report_scalar("perf", "latency", latency, step)
logger.report_single_value("loss", losses[-1])
"""
STUDY = """\
study: not-finite
project: tests/{name}
template: {{script: train.py}}
search_space:
  kind: {{type: categorical, choices: {kinds}}}
enqueue: {points}
objective: {{metric: {metric}, direction: minimize, value: {value}}}
{more}
sampler: random
budget: {{trials: {trials}}}
failures: {{stop_after: 0, killed: 0}}
execution: {{queue: {name}, poll_interval: 0.2{execution}}}
"""


@pytest.fixture
def write(tmp_path, server_environ, monkeypatch):
    for name, value in server_environ.items():
        monkeypatch.setenv(name, value)

    def write(kinds, name, *, metric="validation/loss", value="last", more="", execution=""):
        (tmp_path / "train.py").write_text(SCRIPT.format(curves=repr(CURVES)))
        path = tmp_path / "study.yaml"
        points = [{"kind": kind} for kind in kinds if kind != "fine"]
        path.write_text(
            STUDY.format(
                name=name,
                kinds=[*kinds],
                points=points,
                trials=len(kinds),
                metric=metric,
                value=value,
                more=more,
                execution=execution,
            )
        )
        return path

    return write


LOCALLY = ", executor: local, local: {cpu: 2, threads: 1}"


def states(trials):
    return {trial.params["General/kind"]: (trial.state.value, trial.final_values) for trial in trials}


@pytest.mark.long
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("last", {"last": ("not_finite", None), "middle": ("completed", (0.375,))}),
        ("best", {"last": ("completed", (0.25,)), "middle": ("completed", (0.375,))}),
    ],
)
def test_what_is_not_finite_never_is_the_best(write, api, value, expected):
    """Scalars are named under our workers: a real 0 counts, though another scalar was NaN."""
    constraint = "metric_constraints: [{metric: perf/latency, high: 2}]\npruner: median"
    path = write(CURVES, f"nan-{uuid.uuid4().hex[:8]}", value=value, more=constraint, execution=LOCALLY)
    outcome = run(path, api)
    found = states(outcome.trials)
    assert found == {
        "fine": ("completed", (0.5,)),
        "inf": ("not_finite", None),
        "zero": ("completed", (0.0,)),
        "latency": ("completed", (0.1,)),
        **expected,
    }
    infeasible = {trial.params["General/kind"] for trial in outcome.trials if not trial.is_feasible}
    assert infeasible == {"latency"} and outcome.best.params["General/kind"] == "zero"
    reasons = {trial.params["General/kind"]: trial.reason for trial in outcome.trials}
    assert reasons["inf"] == "validation/loss was NaN or infinite, which the SDK sends as 0"
    # Whoever reads the study later has the same values.
    (study,) = Study.list(name="not-finite", project=load_study(path).spec.project)
    assert states(study.trials) == found and study.best.params["General/kind"] == "zero"
    assert {t.params["General/kind"] for t in study.trials if not t.is_feasible} == {"latency"}
    warm = load_study(path, [f"warm_start={{study: {study.study_id}}}"])
    known = {one.params["General/kind"]: one.values for one in known_before(warm, api, print)}
    assert known == {kind: values for kind, (_, values) in found.items() if values}


@pytest.mark.long
@pytest.mark.agent
def test_under_a_plain_agent_a_zero_may_be_nan_and_a_killed_trial_is_known(write, api, queue, tmp_path, request):
    slot, place = AgentSlot("cpu0", queue), daemon.Workplace(f"nan-{os.getpid()}", tmp_path / "code", tmp_path / "tmp")
    place.tmp.mkdir()
    environ = daemon.environ(os.environ, slot, place, server=None, threads=1)
    del environ["PYTHONPATH"]
    path = write(("fine", "inf", "killed"), queue, metric="Summary/loss")
    with (tmp_path / "agent.log").open("wb") as log:
        process = subprocess.Popen(daemon.command(slot), env=environ, stdout=log, stderr=log, start_new_session=True)
    request.addfinalizer(lambda: (end_session(identify(process.pid)), process.wait()))
    outcome = run(path, api)
    expected = {"fine": ("completed", (0.5,)), "inf": ("not_finite", None), "killed": ("killed", None)}
    assert states(outcome.trials) == expected
    reasons = {trial.state.value: trial.reason for trial in outcome.trials}
    assert reasons["killed"] == "ended by SIGKILL, signal 9 (was it out of memory?)"


# --- what is asked of the server ------------------------------------------------------------------------------------

LOSS = Objective("validation", "loss")
GOAL = Goal((LOSS,), (MetricConstraint("perf", "latency", high=2.0),))
UNNAMED = "NaN value encountered. Reporting it as '0.0'. Use clearml.Logger.set_reporting_nan_value to assign another"
NAMED = "Not finite: \"validation/loss\" is nan, reported as '0.0'"


@pytest.fixture
def recorded(api, queue):
    return RecordedStudy(api, queue)


@pytest.fixture
def read(api, recorded, sent):
    """What counts of a task that reports ``curve`` and prints ``console``, and how often its console was read."""

    def read(curve, console="", goal=GOAL, status="completed", **options):
        task_id = recorded.trial(0, "in_progress")
        scalar = {"type": "training_stats_scalar", "task": task_id, "metric": "validation", "variant": "loss"}
        api.send_events([{**scalar, "value": value, "iter": step} for step, value in enumerate(curve, start=1)])
        prints(api, task_id, console)
        if status not in LIVE:
            api.call(f"tasks.{status}", task=task_id, force=True)
        fields = ["id", "status", "started", *metric_fields(goal.metrics)]
        (task,) = api.call("tasks.get_all", id=[task_id], only_fields=fields)["tasks"]
        points = list(enumerate(map(float, curve), start=1))
        sent.clear()
        looked = ReplacedValues(api, goal, **options)
        snapshot, told = looked.as_reported(snapshot_of(task), points, ends=status not in LIVE)
        reads = sum(endpoint == "events.get_task_log" for endpoint, _ in sent)
        return goal.values(snapshot.summaries)[0], [value for _, value in told], bool(reads)

    return read


def prints(api, task_id, text):
    if text:
        api.send_events([{"type": "log", "task": task_id, "worker": "w", "timestamp": 1_700_000_000_000, "msg": text}])


def same(found, expected):
    value, curve, is_read = expected
    assert found == (pytest.approx(value, nan_ok=True), pytest.approx(curve, nan_ok=True), is_read)


@pytest.mark.parametrize(
    ("curve", "console", "expected"),
    [
        ([0.5, 0.25], UNNAMED, (0.25, [0.5, 0.25], False)),
        ([0.5, 0.0], "epoch 2", (0.0, [0.5, 0.0], True)),
        ([0.5, 0.0], UNNAMED, (NAN, [0.5, NAN], True)),
        ([0.5, 0.0], UNNAMED.replace("0.0", "9.0"), (0.0, [0.5, 0.0], True)),
        ([0.5, 0.0, 0.25], UNNAMED, (0.25, [0.5, NAN, 0.25], True)),
        ([0.5, 0.0], f"{UNNAMED}\n{NAMED}", (NAN, [0.5, NAN], True)),
        ([0.5, 0.0], f"{UNNAMED}\n{NAMED.replace('loss', 'other')}", (0.0, [0.5, 0.0], True)),
    ],
)
def test_a_console_is_read_if_there_is_a_zero(read, curve, console, expected):
    same(read(curve, console), expected)


@pytest.mark.parametrize(
    ("direction", "curve", "value"),
    [
        ("minimize", [0.5, 0.25, 0.0], 0.25),
        ("minimize", [0.5, -0.25, 0.0], -0.25),
        ("maximize", [0.5, 0.25, 0.0], 0.5),
        ("maximize", [-0.5, -0.25, 0.0], -0.25),
        ("minimize", [0.0], NAN),
    ],
)
def test_the_best_of_a_run_is_its_best_finite_value(read, direction, curve, value):
    goal = Goal((Objective("validation", "loss", direction, "best"),))
    found, _, _ = read(curve, UNNAMED, goal)
    assert found == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize("status", ["completed", "stopped", "failed"])
def test_a_run_that_has_ended_is_looked_at_however_it_ended(api, recorded, status):
    """A limit has ended it, and its value counts, also where its script has failed when it was told to stop."""
    task_id = recorded.trial(0, "in_progress", 0.0)
    prints(api, task_id, NAMED)
    api.call(f"tasks.{status}", task=task_id, force=True)
    snapshot, _ = recorded.tasks.as_reported(recorded.tasks.poll([task_id])[task_id], ())
    assert snapshot.not_finite == {LOSS.metric} and math.isnan(snapshot.summaries[LOSS.metric].last)


def test_a_zero_of_a_running_trial_waits_until_the_console_can_tell(api, recorded):
    """The console of an agent arrives some seconds after the scalars."""
    task_id = recorded.trial(0, "in_progress", 0.0)
    (task,) = api.call("tasks.get_all", id=[task_id], only_fields=["id", "status", "started"])["tasks"]
    snapshot, clock = snapshot_of(task), ManualClock()
    looked = ReplacedValues(api, GOAL, clock=clock)

    def told(*curve):
        return [value for _, value in looked.as_reported(snapshot, list(enumerate(curve, 1)), ends=False)[1]]

    assert told(0.5, 0.0, 0.4) == [0.5]
    clock.advance(10)
    assert told(0.5, 0.0, 0.4, 0.3) == [0.5]
    clock.advance(10)
    assert told(0.5, 0.0, 0.4, 0.3) == [0.5, 0.0, 0.4, 0.3], "its console says nothing"
    assert told(0.5, 0.0, 0.4, 0.3, 0.0) == [0.5, 0.0, 0.4, 0.3]
    prints(api, task_id, UNNAMED)
    clock.advance(20)
    assert told(0.5, 0.0, 0.4, 0.3, 0.0) == [0.5, 0.0, 0.4, 0.3], "the wait has doubled"
    clock.advance(20)
    assert told(0.5, 0.0, 0.4, 0.3, 0.0, 0.2) == pytest.approx([0.5, NAN, 0.4, 0.3, NAN, 0.2], nan_ok=True)


def test_a_task_that_is_deleted_before_its_console_is_read_tells_nothing(api, recorded):
    task_id = recorded.trial(0, "completed", 0.0)
    (task,) = api.call("tasks.get_all", id=[task_id], only_fields=["id", "status", *metric_fields(GOAL.metrics)])[
        "tasks"
    ]
    api.call("tasks.delete", task=task_id, force=True)
    snapshot, _ = ReplacedValues(api, GOAL).as_reported(snapshot_of(task), (), ends=True)
    assert GOAL.values(snapshot.summaries) == (0.0,)
    assert recorded.tasks.output(task_id) is None


def test_output_changes_with_each_line_and_scalar_but_not_with_the_machine(api, recorded):
    task_id = recorded.trial(0, "in_progress", 0.5)
    seen = [recorded.tasks.output(task_id)]
    scalar = {"type": "training_stats_scalar", "task": task_id, "variant": "x", "value": 1.0, "iter": 1}
    for change in (
        lambda: api.call("tasks.ping", task=task_id),
        lambda: api.send_events([{**scalar, "metric": ":monitor:machine"}]),
        lambda: prints(api, task_id, "a line"),
        lambda: api.send_events([{**scalar, "metric": "train"}]),
        lambda: api.send_events([{**scalar, "metric": "train"}]),
    ):
        change()
        seen.append(recorded.tasks.output(task_id))
    assert [one == other for one, other in itertools.pairwise(seen)] == [True, True, False, False, False]
