"""ClearML's optimizer around ``OptunaStrategy``, and ``StudyOptimizer``, as a script uses them, with a played agent."""

from __future__ import annotations

import threading
import time
import uuid

import optuna
import pytest

from clearml_hpo.backend.hyperparameters import flatten
from clearml_hpo.backend.names import ensure_project
from clearml_hpo.core.errors import InputError
from clearml_hpo.core.trial import TrialState
from clearml_hpo.scheduler import Scheduler
from clearml_hpo.testing import PlayedAgent

from .conftest import quadratic

_A_MOMENT = 0.01  # minutes
_POLL = 0.002  # minutes
_GO_ON_S = 60.0


class Callback:
    """A completion callback that remembers."""

    def __init__(self):
        self.calls = []

    def __call__(self, *arguments):
        self.calls.append(arguments)


def endless(params):
    for step in range(1, 100_000):
        yield {"validation/loss": 1.0 / step}


def eventually(happened, what):
    deadline = time.monotonic() + _GO_ON_S
    while not happened():
        assert time.monotonic() < deadline, f"did not happen in {_GO_ON_S:.0f} s: {what}"
        time.sleep(0.02)


def ended(optimizer):
    """Waits for the end of a study that ends by itself."""
    eventually(lambda: not optimizer.is_running(), "the study ends")


@pytest.fixture
def template(api):
    """A template task of the test's own: its trials are its children."""
    values = {"x": ("float", "0.9"), "depth": ("int", "4"), "kind": ("str", "a")}
    general = {n: {"section": "General", "name": n, "type": t, "value": v} for n, (t, v) in values.items()}
    project = ensure_project(api, f"tests/{uuid.uuid4().hex[:8]}")
    return api.call("tasks.create", name="train", type="training", project=project, hyperparams={"General": general})[
        "id"
    ]


@pytest.fixture
def make(template, queue):
    """Makes an optimizer of a class; it is stopped with the test."""
    from clearml.automation import DiscreteParameterRange, UniformIntegerParameterRange, UniformParameterRange

    from clearml_hpo import OptunaStrategy

    made = []
    space = [
        UniformParameterRange("General/x", min_value=0.0, max_value=1.0),
        UniformIntegerParameterRange("General/depth", min_value=2, max_value=8),
        DiscreteParameterRange("General/kind", values=["a", "b"]),
    ]

    def make(optimizer_class, /, **options):
        arguments = {
            "base_task_id": template,
            "hyper_parameters": space,
            "objective_metric_title": "validation",
            "objective_metric_series": "loss",
            "objective_metric_sign": "min",
            "optimizer_class": OptunaStrategy,
            "max_number_of_concurrent_tasks": 2,
            "execution_queue": queue,
            "auto_connect_task": False,
            "pool_period_min": _POLL,
            "optuna_pruner": optuna.pruners.NopPruner(),
            **options,
        }
        made.append(optimizer_class(**arguments))
        return made[-1]

    yield make
    for optimizer in made:
        optimizer.stop(wait_for_reporter=False)


@pytest.fixture
def study_optimizer(api):
    from clearml_hpo.clearml_optimizer.optimizer import StudyOptimizer

    return StudyOptimizer


@pytest.fixture(params=["HyperParameterOptimizer", "StudyOptimizer"])
def either(request, study_optimizer):
    """Each of the two classes."""
    from clearml.automation import HyperParameterOptimizer

    return study_optimizer if request.param == "StudyOptimizer" else HyperParameterOptimizer


@pytest.fixture
def trials(api, template):
    """The trial tasks as the server has them, by id."""

    def trials():
        found = api.call("tasks.get_all", parent=template, page=0, page_size=500)["tasks"]
        return {task["id"]: task for task in found}

    return trials


@pytest.fixture
def memory():
    """Where Optuna keeps a study that the test can look into."""
    storage = optuna.storages.InMemoryStorage()
    options = {"storage": storage, "study_name": "looked-into"}

    def told():
        return optuna.load_study(storage=storage, study_name="looked-into").trials

    return options, told


def live(trials):
    return [task["id"] for task in trials().values() if task["status"] in ("queued", "in_progress")]


def loss_of(task):
    (loss,) = [v for m in task["last_metrics"].values() for v in m.values() if v["metric"] == "validation"]
    return loss["value"]


# --- what a script relies on ----------------------------------------------------------------------------------------


def test_the_callback_hears_of_each_completed_trial_with_the_best_so_far(make, study_optimizer, queue, trials):
    heard = Callback()
    optimizer = make(study_optimizer, total_max_jobs=6)
    with PlayedAgent(quadratic, queue=queue):
        assert optimizer.start(job_complete_callback=heard)
        ended(optimizer)
    tasks = trials()
    assert sorted(job_id for job_id, *_ in heard.calls) == sorted(tasks)
    values = {}
    for job_id, value, iteration, params, top in heard.calls:
        assert [type(v) for v in (job_id, value, iteration, params, top)] == [str, float, int, dict, str]
        assert (value, iteration) == (loss_of(tasks[job_id]), tasks[job_id]["last_iteration"])
        assert {n: type(v) for n, v in params.items()} == {
            "General/x": float,
            "General/depth": int,
            "General/kind": str,
        }
        values[job_id] = value
        assert top == min(values, key=values.get)


def test_total_max_jobs_ends_the_study(make, either, queue, trials):
    optimizer = make(either, total_max_jobs=3)
    with PlayedAgent(quadratic, queue=queue) as agent:
        optimizer.start()
        ended(optimizer)
    assert {task["status"] for task in trials().values()} == {"completed"}
    assert sorted(agent.ran) == sorted(trials()) and len(agent.ran) == 3


def test_max_iteration_per_job_stops_a_trial_and_keeps_its_value(make, either, queue, trials):
    optimizer = make(either, total_max_jobs=2, max_iteration_per_job=5)
    with PlayedAgent(endless, queue=queue, step_s=0.05):
        optimizer.start()
        ended(optimizer)
    jobs = optimizer.get_optimizer().driver.scheduler.trials
    assert [trial.state for trial in jobs] == [TrialState.COMPLETED] * 2
    for trial in jobs:
        assert trial.iteration >= 5 and trial.value == loss_of(trials()[trial.task_id])
        assert trials()[trial.task_id]["status"] == "stopped"


def test_time_limit_per_job_stops_a_trial_and_keeps_its_value(make, either, queue, trials):
    optimizer = make(either, total_max_jobs=2, time_limit_per_job=_A_MOMENT)
    with PlayedAgent(endless, queue=queue, step_s=0.05):
        optimizer.start()
        ended(optimizer)
    jobs = optimizer.get_optimizer().driver.scheduler.trials
    assert [trial.state for trial in jobs] == [TrialState.COMPLETED] * 2
    assert {task["status"] for task in trials().values()} == {"stopped"}


def test_set_time_limit_ends_the_study(make, study_optimizer, queue, trials):
    optimizer = make(study_optimizer)
    optimizer.set_time_limit(in_minutes=_A_MOMENT)
    with PlayedAgent(endless, queue=queue, step_s=0.05):
        optimizer.start()
        ended(optimizer)
        eventually(lambda: not live(trials), "no trial waits or runs")


def test_optimization_time_limit_ends_the_study(make, study_optimizer, queue, trials):
    optimizer = make(study_optimizer, optimization_time_limit=_A_MOMENT)
    with PlayedAgent(endless, queue=queue, step_s=0.05):
        optimizer.start()
        ended(optimizer)
        eventually(lambda: not live(trials), "no trial waits or runs")


def test_active_experiments_are_those_that_wait_or_run(make, either, queue):
    optimizer = make(either)
    assert optimizer.get_num_active_experiments() == 0
    with PlayedAgent(endless, queue=queue, step_s=0.05) as agent:
        optimizer.start()
        eventually(lambda: agent.ran and optimizer.get_num_active_experiments() >= 2, "one runs, one waits")
        assert set(agent.ran) <= {task.id for task in optimizer.get_active_experiments()}
        optimizer.stop()
        eventually(lambda: optimizer.get_num_active_experiments() == 0, "none is active")
    assert list(optimizer.get_active_experiments()) == []


def test_top_experiments_are_in_order(make, either, queue, trials):
    optimizer = make(either, total_max_jobs=5)
    with PlayedAgent(quadratic, queue=queue):
        optimizer.start()
        ended(optimizer)
    tasks = trials()
    best_first = sorted(tasks, key=lambda task_id: loss_of(tasks[task_id]))
    assert [task.id for task in optimizer.get_top_experiments(top_k=3)] == best_first[:3]
    details = optimizer.get_top_experiments_details(top_k=3)
    assert [each["task_id"] for each in details] == best_first[:3]
    for each in details:
        task = tasks[each["task_id"]]
        assert each["hyper_parameters"] == {
            name: text for name, text in flatten(task["hyperparams"]).items() if name.startswith("General/")
        }
        assert [entry["value"] for entry in each["metrics"].values()] == [loss_of(task)]


def test_what_is_not_finite_is_no_top_experiment(make, either, queue, api):
    """A server sorts it first: it has 0 in its place."""

    def diverges(params):
        if len(agent.ran) == 2:
            line = "NaN value encountered. Reporting it as '0.0'"
            api.send_events([{"type": "log", "task": agent.ran[-1], "worker": "w", "msg": line}])
            yield {"validation/loss": 0.0}
        else:
            yield from quadratic(params)

    optimizer = make(either, total_max_jobs=4, max_number_of_concurrent_tasks=1)
    with PlayedAgent(diverges, queue=queue) as agent:
        optimizer.start()
        ended(optimizer)
    others = {*agent.ran} - {agent.ran[1]}
    assert {task.id for task in optimizer.get_top_experiments(top_k=4)} == others
    assert {each["task_id"] for each in optimizer.get_top_experiments_details(top_k=4)} == others
    assert {task_id for task_id, _ in optimizer.get_optimizer().get_top_experiments_id_metrics_pair(4)} == others


def test_save_top_k_tasks_only_archives_the_others(make, study_optimizer, queue, trials):
    optimizer = make(study_optimizer, total_max_jobs=5, save_top_k_tasks_only=2)
    with PlayedAgent(quadratic, queue=queue):
        optimizer.start()
        ended(optimizer)
        optimizer.stop()  # waits for the last report
    tasks = trials()
    kept = sorted(tasks, key=lambda task_id: loss_of(tasks[task_id]))[:2]
    assert {task_id for task_id in tasks if "archived" not in tasks[task_id]["system_tags"]} == set(kept)


def test_stop_leaves_nothing_queued_or_running(make, either, queue, trials):
    optimizer = make(either)
    with PlayedAgent(endless, queue=queue, step_s=0.05) as agent:
        optimizer.start()
        eventually(lambda: agent.ran and len(trials()) >= 2, "one runs, one waits")
        optimizer.stop()
        assert not optimizer.is_running()
        eventually(lambda: not live(trials), "no trial waits or runs")
    assert len(agent.ran) < len(trials()), "what waited was not run"


LOCAL_SCRIPT = """\
import os
from clearml import Task
task = Task.init(project_name="tests", task_name="train")
params = task.connect({"x": 0.5, "depth": 4, "kind": "a"})
print("threads", os.environ["OMP_NUM_THREADS"])
task.get_logger().report_scalar("validation", "loss", (params["x"] - 0.3) ** 2 + params["depth"], 1)
"""


@pytest.mark.long
def test_start_locally_runs_trials_as_processes_each_with_its_share(api, make, study_optimizer, template, trials):
    script = {"diff": LOCAL_SCRIPT, "entry_point": "train.py", "working_dir": ".", "repository": ""}
    api.call("tasks.edit", task=template, force=True, script=script)
    optimizer = make(study_optimizer, total_max_jobs=2, execution_queue=None)
    assert optimizer.start_locally()
    ended(optimizer)
    found = trials()
    assert {task["status"] for task in found.values()} == {"completed"} and len(found) == 2
    log = api.call("events.get_task_log", task=next(iter(found)), batch_size=50)["events"]
    assert any("threads" in event["msg"] for event in log)


def test_another_job_class_is_refused(make, either):
    from clearml.automation.job import BaseJob

    with pytest.raises(InputError, match="BaseJob is no way to run trials"):
        make(either).optimizer.set_job_class(BaseJob)


def test_several_objectives_are_traded_off(make, study_optimizer, queue, trials):
    def trains(params):
        x = float(params["General/x"])
        yield {"validation/loss": x, "speed/steps": 1.0 - x if params["General/kind"] == "a" else 0.0}

    optimizer = make(
        study_optimizer,
        objective_metric_title=["validation", "speed"],
        objective_metric_series=["loss", "steps"],
        objective_metric_sign=["min", "max"],
        total_max_jobs=5,
    )
    with PlayedAgent(trains, queue=queue):
        optimizer.start()
        ended(optimizer)
    scheduler = optimizer.strategy.driver.scheduler
    assert [len(trial.values) for trial in scheduler.trials] == [2] * 5
    top = optimizer.get_top_experiments_details(top_k=2)
    assert {entry["task_id"] for entry in top} <= set(trials())


def test_a_missing_base_task_is_said_by_its_id(make, either):
    with pytest.raises(ValueError, match="nowhere"):
        make(either, base_task_id="nowhere")


def test_trials_belong_to_the_optimizer_task_and_it_shows_them(api, make, study_optimizer, queue, template):
    from clearml import Task

    project = api.call("tasks.get_by_id", task=template)["task"]["project"]
    task_id = api.call("tasks.create", name="optimizer", type="optimizer", project=project)["id"]
    optimizer = make(study_optimizer, total_max_jobs=3, auto_connect_task=Task.get_task(task_id=task_id))
    with PlayedAgent(quadratic, queue=queue) as agent:
        optimizer.start()
        ended(optimizer)
        optimizer.stop()
    children = api.call("tasks.get_all", parent=task_id, only_fields=["id"])["tasks"]
    assert sorted(task["id"] for task in children) == sorted(agent.ran)
    plots = api.call("events.get_task_plots", task=task_id, iters=1, no_scroll=True)["plots"]
    assert "optimization history" in {plot["metric"] for plot in plots}


# --- what ClearML's own strategy gets wrong -------------------------------------------------------------------------


def test_a_previous_study_is_taken_over(make, either, queue, memory):
    """ClearML's strategy accepts ``continue_previous_study`` and ``storage``, and drops both without a word."""
    options, told = memory
    previous = optuna.create_study(direction="minimize")
    ranges = {
        "General/x": optuna.distributions.FloatDistribution(0.0, 1.0),
        "General/depth": optuna.distributions.IntDistribution(2, 8),
        "General/kind": optuna.distributions.CategoricalDistribution(("a", "b")),
    }
    for x in (0.1, 0.2, 0.3):
        params = {"General/x": x, "General/depth": 3, "General/kind": "a"}
        previous.add_trial(optuna.trial.create_trial(params=params, distributions=ranges, value=x))
    optimizer = make(either, total_max_jobs=2, continue_previous_study=previous, **options)
    with PlayedAgent(quadratic, queue=queue) as agent:
        optimizer.start()
        ended(optimizer)
    assert [trial.value for trial in told()[:3]] == [0.1, 0.2, 0.3]
    assert len(agent.ran) == 2 and len(told()) == 5


def test_a_failed_trial_is_told_as_failed(make, either, queue, memory):
    """ClearML's strategy tells a trial that failed, or never reported its objective, as pruned."""
    options, told = memory

    def one_of_each(params):
        number = next(numbers)
        if number == 0:
            raise RuntimeError("diverged")
        yield {("train/loss" if number == 1 else "validation/loss"): 1.0}

    numbers = iter(range(100))
    optimizer = make(either, total_max_jobs=3, max_number_of_concurrent_tasks=1, **options)
    with PlayedAgent(one_of_each, queue=queue):
        optimizer.start()
        ended(optimizer)
    assert [trial.state.name for trial in told()] == ["FAIL", "FAIL", "COMPLETE"]


def test_a_finished_trial_is_not_pruned(make, either, queue, memory, monkeypatch):
    """ClearML's strategy asks the pruner about the last value of a trial that has ended, and loses it."""
    options, told = memory
    lock = threading.Lock()

    def alone(method):
        def locked(*arguments, **named):
            with lock:
                return method(*arguments, **named)

        return locked

    def worse_and_worse(params):
        number = next(numbers)
        for step in range(3):
            yield {"validation/loss": number + 1.0 / (step + 1)}

    # A step of the loop sees trials that wait or have ended; one that is seen running may well be pruned.
    monkeypatch.setattr(Scheduler, "step", alone(Scheduler.step))
    monkeypatch.setattr(PlayedAgent, "_run", alone(PlayedAgent._run))
    numbers = iter(range(100))
    optimizer = make(either, total_max_jobs=10, optuna_pruner=None, **options)  # None: the default, as ClearML's
    with PlayedAgent(worse_and_worse, queue=queue):
        optimizer.start()
        ended(optimizer)
    assert [trial.state.name for trial in told()] == ["COMPLETE"] * 10
    assert all(len(trial.intermediate_values) == 3 for trial in told()), "the pruner was shown what there was"


def test_the_compute_time_limit_ends_the_study(make, either, queue, trials):
    """ClearML's strategy compares a fraction with minutes, so that the limit never stops a study."""
    optimizer = make(either, compute_time_limit=_A_MOMENT)
    with PlayedAgent(endless, queue=queue, step_s=0.05) as agent:
        optimizer.start()
        ended(optimizer)
        assert agent.ran and not live(trials)


def test_a_point_that_was_tried_costs_nothing(make, either, queue, trials):
    """ClearML's strategy prunes a point that comes twice, and counts it: of 20 jobs in a space of two points, 2 ran."""
    from clearml.automation import DiscreteParameterRange

    optimizer = make(
        either, total_max_jobs=20, hyper_parameters=[DiscreteParameterRange("General/kind", values=["a", "b"])]
    )
    with PlayedAgent(quadratic, queue=queue) as agent:
        optimizer.start()
        ended(optimizer)
    tasks = trials()
    assert len(agent.ran) == len(tasks) == 2
    assert {flatten(task["hyperparams"])["General/kind"] for task in tasks.values()} == {"a", "b"}
    assert {task["status"] for task in tasks.values()} == {"completed"}


def test_a_pruned_trial_is_active_no_more(make, either, queue, memory):
    """In ClearML's strategy a trial that was pruned stays in the list of running jobs for ever."""
    options, told = memory
    goes_on = threading.Event()

    def bad_then_good(params):
        if next(numbers) == 0:
            for _ in range(100_000):
                yield {"validation/loss": 2.0}
        goes_on.wait(_GO_ON_S)
        yield {"validation/loss": 0.5}

    numbers = iter(range(100))
    pruner = optuna.pruners.ThresholdPruner(upper=1.0)
    optimizer = make(either, total_max_jobs=2, max_number_of_concurrent_tasks=1, optuna_pruner=pruner, **options)
    with PlayedAgent(bad_then_good, queue=queue, step_s=0.05) as agent:
        optimizer.start()
        eventually(
            lambda: len(agent.ran) == 2 and [task.id for task in optimizer.get_active_experiments()] == agent.ran[1:],
            "only the second trial is active",
        )
        goes_on.set()
        ended(optimizer)
    assert [trial.state.name for trial in told()] == ["PRUNED", "COMPLETE"]
    assert optimizer.get_num_active_experiments() == 0


def test_stop_while_a_trial_waits_ends_the_thread(make, either, trials):
    """ClearML's strategy goes on without end in its thread if it is stopped while a job waits in the queue."""
    optimizer = make(either)
    before = set(threading.enumerate())
    optimizer.start()
    started = set(threading.enumerate()) - before
    eventually(lambda: live(trials), "a trial waits")
    optimizer.stop()
    assert not live(trials)
    for thread in started:
        thread.join(_GO_ON_S)
        assert not thread.is_alive()


def test_a_server_that_refuses_for_good_ends_the_study_and_leaves_nothing_running(either, make, api, queue):
    with PlayedAgent(endless, queue=queue, step_s=0.05) as agent:
        optimizer = make(either, total_max_jobs=50, max_number_of_concurrent_tasks=3)
        optimizer.start()
        eventually(lambda: agent.ran, "a trial runs")
        queue_id = api.call("queues.get_all", name=f"^{queue}$")["queues"][0]["id"]
        api.call("queues.delete", queue=queue_id, force=True)
        api.call("tasks.stopped", task=agent.ran[0], force=True)  # the next launch is refused
        ended(optimizer)
        assert optimizer.get_num_active_experiments() == 0
    statuses = {task["status"] for task in api.call("tasks.get_all", id=agent.ran)["tasks"]}
    assert statuses == {"stopped"}
