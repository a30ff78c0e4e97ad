"""ClearML's own agent in services mode drives several studies at once; what happens to them when it ends."""

from __future__ import annotations

import json
import re
import shlex
import sys

import pytest

from clearml_hpo.testing.executor_contract import eventually
from tests import place
from tests.e2e.conftest import ROOT

pytestmark = [pytest.mark.long, pytest.mark.agent, pytest.mark.embedded]

UNIT = (ROOT / "deploy/services/clearml-agent-services.service").read_text()
OPTIONS = shlex.split(re.search(r"^ExecStart=\S+ (.*)$", UNIT, re.MULTILINE)[1])
SCRIPT = """\
import pathlib, time
from clearml import Task
task = Task.init()
x = float(task.connect({{"x": 0.5}})["x"])
while not pathlib.Path({go!r}).exists():
    time.sleep(0.05)
task.get_logger().report_scalar("validation", "loss", x * x, 0)
"""
STUDY = """\
project: {project}
template: {{task: {template}}}
search_space: {{General/x: {{type: float, low: 0.0, high: 1.0}}}}
objective: {{metric: validation/loss, direction: minimize}}
budget: {{trials: 2}}
execution: {{queue: {queue}, poll_interval: 0.2}}
study: services
"""


@pytest.fixture
def environ(server, sdk_environ):
    return {
        **sdk_environ,
        **server.address.environ(),
        "CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL": "1",
        "CLEARML_AGENT_QUEUE_POLL_FREQ_SEC": "0.5",
    }


@pytest.fixture
def call(server):
    return place.Calls(server.address)


@pytest.fixture
def agent(machine, environ, tmp_path):
    """Starts the agent as the unit does, for a queue of its own."""
    services, started = place.queue("services"), []
    words = [services if word == "services" else word for word in OPTIONS]

    def start():
        shell = ["/bin/sh", "-c", f'exec "$@" >> {tmp_path}/agent.log 2>&1', "sh"]
        command = [*shell, sys.executable, "-m", "clearml_agent"]
        started.append(machine.start(*words, command=command, **environ, TMPDIR=str(tmp_path)))
        return started[-1]

    start.queue = services
    yield start
    for process in started:
        process.terminate()
        process.wait(60)


@pytest.fixture
def study(call, environ, machine, tmp_path):
    """A study whose trials wait until the file ``go`` is there, and a worker for them."""
    queue = place.queue("trials")
    worker = machine.start("worker", "--queue", queue, "--cpu", "2", **environ)
    eventually(lambda: call("queues.get_all", name=f"^{queue}$")["queues"], "the worker makes the queue")
    project = call("projects.create", name=place.project("services"), description="")["id"]
    script = {"entry_point": "train.py", "working_dir": ".", "diff": SCRIPT.format(go=str(tmp_path / "go"))}
    values = {"General": {"x": {"section": "General", "name": "x", "value": "0.5", "type": "float"}}}
    body = {"name": "template", "type": "training", "project": project, "script": {**script, "binary": "python3"}}
    template = call("tasks.create", **body, hyperparams=values)["id"]
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.format(project=place.project("services"), template=template, queue=queue))
    yield path
    (tmp_path / "go").touch()
    worker.terminate()
    assert worker.wait(60) == 0


def test_one_agent_drives_studies_at_once_and_they_go_on_after_it(machine, environ, call, agent, study, tmp_path):
    def all_are(status, studies):
        tasks = call("tasks.get_all", id=studies, only_fields=["status"])["tasks"]
        return {task["status"] for task in tasks} == {status}

    def log():
        return (tmp_path / "agent.log").read_text()

    def trials(study, **query):
        return call("tasks.get_all", parent=study, only_fields=["id"], **query)["tasks"]

    def driven():
        """Both controllers have trials, so both know what to do at a signal, and one trial runs."""
        return all(map(trials, studies)) and any(trials(each, status=["in_progress"]) for each in studies)

    first = agent()
    eventually(lambda: call("queues.get_all", name=f"^{agent.queue}$")["queues"], "the agent makes its queue", log)
    studies = []
    for name in ("one", "two"):
        launch = ["launch", str(study), "--queue", agent.queue, "--set", f"study={name}"]
        code, output = machine.run(*launch, "--output", str(tmp_path / "launch.json"), **environ)
        assert code == 0, output
        studies.append(json.loads((tmp_path / "launch.json").read_text())["study_id"])
    eventually(lambda: all_are("in_progress", studies) and driven(), "both are driven at once, trials run", log)
    # The agent ends, and so do the controllers; with their trials, if they have the time.
    first.terminate()
    first.wait(60)
    eventually(lambda: all_are("stopped", studies), "both controllers are stopped", log)
    # As in the web page: enqueue them again.
    agent()
    for each in studies:
        call("tasks.enqueue", task=each, queue_name=agent.queue)
    eventually(lambda: all_are("in_progress", studies), "both are driven again", log)
    (tmp_path / "go").touch()
    eventually(lambda: all_are("completed", studies), "both are completed", log)
    for each in studies:
        code, output = machine.run("study", "export", each, str(tmp_path / "out.json"), **environ)
        assert code == 0, output
        ended = json.loads((tmp_path / "out.json").read_text())["trials"]
        assert {trial["number"] for trial in ended if trial["state"] == "completed"} == {0, 1}
        assert {trial["state"] for trial in ended} <= {"completed", "stopped"}
