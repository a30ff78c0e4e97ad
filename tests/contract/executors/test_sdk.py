"""What scripts do with ClearML's SDK arrives from a fork of a warm parent as from under an unmodified agent."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from clearml_hpo.fleet import daemon
from clearml_hpo.fleet.slots import AgentSlot
from clearml_hpo.machine.processes import end_session, identify
from clearml_hpo.testing import executor_contract
from clearml_hpo.testing.executor_contract import Stage, eventually
from clearml_hpo.workers.service import LocalWorkers
from clearml_hpo.workers.slots import plan_slots
from clearml_hpo.workers.task_source import QueueSource
from tests import place

pytestmark = [pytest.mark.agent, pytest.mark.long]

SCRIPTS = Path(__file__).parent / "scripts"
DEADLINE_S = 300.0
DATASET = """
import os
import sys
from pathlib import Path
from clearml import Dataset
Path("a.txt").write_text("first")
dataset = Dataset.create("the data of the contract", os.environ["TEST_PROJECT"] + "/contract")
dataset.add_files("a.txt")
dataset.finalize(auto_upload=True)
print(dataset.id, file=sys.stderr)
"""
# What each must have done whoever runs it: its status, and a line that it has printed.
THEMES = {
    "connect": ("completed", "> 7 0.1 False [1, 2]"),
    "configuration": ("completed", "> {'first': 3, 'second': 4}"),
    "artifacts": ("completed", "> {'answer': 42} a line {'last': True}"),
    "models": ("completed", "> the first {'cat': 0, 'dog': 1} 70000"),
    "logger": ("completed", "> a line of the logger"),
    "console": ("completed", "> 5 of 5"),
    "identity": ("completed", "> True 1 False True"),
    "reports_by_process": ("completed", "> True {'depth': 3}"),
    "processes": ("completed", "> [0, 1, 4]"),
    "threads": ("completed", "> the slow one has ended"),
    "frameworks": ("completed", "> 7.0"),
    "dataset": ("completed", "> ['a.txt'] first"),
    "closed": ("completed", "> closed True"),
    "raises": ("failed", "> registered before the task"),
    "exits": ("failed", "> exits"),
    "at_exit": ("completed", "> fails at the exit"),
    "signals": ("completed", "> tidies up after SIGTERM"),
    "interrupted": ("completed", "> interrupted"),
}
_SAID = re.compile(r"> (?![1-4] of 5)")  # which states of a line that is written over are seen is chance
PARAMETERS = {
    "connect": {"Args/depth": "7", "General/lr": "0.25", "Settings/width": "5"},
    "identity": {"General/x": "1"},
}


@pytest.fixture(scope="module")
def environ(server_environ):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server_environ.items():
            patch.setenv(name, value)
        patch.setattr(executor_contract, "DEADLINE_S", DEADLINE_S)
        yield server_environ


@pytest.fixture(scope="module")
def api(environ):
    from clearml_hpo.backend.api import Api

    return Api()


@pytest.fixture(scope="module")
def dataset(environ, tmp_path_factory):
    command, folder = [sys.executable, "-c", DATASET], tmp_path_factory.mktemp("dataset")
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=True)
    return done.stderr.split()[-1]


@pytest.fixture(scope="module")
def agent(api, environ, tmp_path_factory):
    """Id of a queue that two unmodified daemons serve."""
    name, folder = place.queue("sdk-agent"), tmp_path_factory.mktemp("agents")
    queue = api.call("queues.create", name=name)["id"]
    started = []
    for i in range(2):
        slot = AgentSlot(f"cpu{i}", name)
        workplace = daemon.Workplace(f"sdk-{os.getpid()}:{i}", folder / f"code{i}", folder / f"tmp{i}")
        workplace.tmp.mkdir()
        own = daemon.environ(os.environ, slot, workplace, server=None, threads=1)
        del own["PYTHONPATH"]  # as without this package
        with (folder / f"{i}.log").open("wb") as log:
            command = daemon.command(slot)
            started.append(subprocess.Popen(command, env=own, stdout=log, stderr=log, start_new_session=True))
    yield queue
    for process in started:
        end_session(identify(process.pid))
        process.wait()


@pytest.fixture(scope="module")
def worker(api):
    """Id of a queue that a warm worker serves."""
    queue = api.call("queues.create", name=place.queue("sdk-warm"))["id"]
    workers = LocalWorkers(plan_slots(cpu=2, threads=1), QueueSource([queue], pytest.fail), "sdk", on_note=pytest.fail)
    yield queue
    workers.close()


@pytest.fixture(scope="module")
def records(api, agent, worker, dataset, tmp_path_factory):
    """By theme what the server has of its task, under the agent and under the worker."""
    stage = Stage(api, tmp_path_factory.mktemp("stage"), "", 2)
    tasks = {}
    for queue in (agent, worker):
        for theme in THEMES:
            task = stage.script((SCRIPTS / f"{theme}.py").read_text(), name=theme)
            values = {"General/dataset": dataset} if theme == "dataset" else PARAMETERS.get(theme, {})
            entries = [_entry(*name.split("/"), text) for name, text in values.items()]
            if entries:
                api.call("tasks.edit_hyper_params", task=task, hyperparams=entries)
            api.call("tasks.enqueue", task=task, queue=queue)
            tasks[theme, queue] = task
    for task in tasks.values():
        eventually(partial(_has_ended, stage, task), "it ends", partial(stage.task, task))
    return {theme: [_record(stage, tasks[theme, queue]) for queue in (agent, worker)] for theme in THEMES}


def _entry(section, name, text):
    return {"section": section, "name": name, "value": text}


def _has_ended(stage, task):
    return stage.status(task) in ("completed", "failed", "stopped")


@pytest.mark.parametrize("theme", THEMES)
def test_the_server_has_the_same(records, theme):
    by_agent, by_worker = records[theme]
    status, line = THEMES[theme]
    assert by_agent["status"] == status
    assert line in by_agent["console"]
    for field in by_agent:
        assert by_worker[field] == by_agent[field], field


# --- what the server has ------------------------------------------------------------------------------------------


def _record(stage, task):
    (found,) = stage.api.call("tasks.get_all", id=[task])["tasks"]
    execution = found.get("execution") or {}
    kept = {
        **{name: found.get(name) for name in ("status", "name", "type", "tags", "comment", "last_iteration")},
        "system tags": found.get("system_tags"),
        "hyperparams": found.get("hyperparams"),
        "configuration": found.get("configuration"),
        "artifacts": sorted(map(_artifact, execution.get("artifacts") or ()), key=lambda each: each["key"]),
        "labels": execution.get("model_labels"),
        "models": [_model(stage, each) for each in (found.get("models") or {}).get("output") or ()],
        "script": found.get("script"),
        "progress": (found.get("runtime") or {}).get("progress"),
        "last metrics": _last_metrics(found),
        "scalars": _of_the_script(stage.api.call("events.scalar_metrics_iter_histogram", task=task, samples=6_000)),
        "plots": _plots(stage, task),
        "images": _images(stage, task),
        "console": [line for line in stage.console(task).splitlines() if _SAID.match(line)],
    }
    return json.loads(_without_names(json.dumps(kept), task))


def _without_names(text, task):
    """Without what differs between any two runs: ids of tasks, folders, times."""
    text = text.replace(task, "TASK")
    text = re.sub(r"\b[0-9a-f]{32}\b", "ID", text)
    return re.sub(r"/[^\s\"]*/(cpu\d/code|code\d/[^\s\"]*?code)", "FOLDER", text)


def _artifact(found):
    return {name: found.get(name) for name in ("key", "type", "mode", "uri", "content_size", "hash", "type_data")}


def _model(stage, found):
    model = stage.api.call("models.get_by_id", model=found["model"])["model"]
    names = ("name", "framework", "uri", "tags", "labels", "design", "ready", "comment")
    return {"as": found["name"], **{name: model.get(name) for name in names}}


def _last_metrics(found):
    last = [each for variants in (found.get("last_metrics") or {}).values() for each in variants.values()]
    names = ("metric", "variant", "value", "min_value", "max_value", "first_value", "mean_value", "count")
    ours = [{name: each.get(name) for name in names} for each in last if not each["metric"].startswith(":monitor")]
    return sorted(ours, key=lambda each: (each["metric"], each["variant"]))


def _of_the_script(scalars):
    return {metric: series for metric, series in scalars.items() if not metric.startswith(":monitor")}


def _plots(stage, task):
    plots = stage.api.call("events.get_task_plots", task=task, iters=100)["plots"]
    return sorted((each["metric"], each["variant"], each["iter"], each["plot_str"]) for each in plots)


def _images(stage, task):
    metrics = stage.api.call("events.debug_images", metrics=[{"task": task}], iters=100)["metrics"]
    events = [event for each in metrics for step in each["iterations"] for event in step["events"]]
    return sorted((each["metric"], each["variant"], each["iter"], each["url"]) for each in events)
