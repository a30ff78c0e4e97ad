"""An unmodified ``clearml-agent daemon``, and ClearML's own optimizer on top of it, against the embedded server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clearml_hpo.server import RunningServer

pytestmark = pytest.mark.agent

SCRIPTS = Path(__file__).parent / "scripts"
DEADLINE_S = 120
QUEUE = "agent queue"


class Client:
    """The few calls that a test makes itself."""

    def __init__(self, running: RunningServer) -> None:
        self._api = running.address.api
        password = urllib.request.HTTPPasswordMgrWithPriorAuth()
        password.add_password(
            None, self._api, running.address.access_key, running.address.secret_key, is_authenticated=True
        )
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPBasicAuthHandler(password)
        )

    def __call__(self, endpoint: str, **data: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self._api}/v2.23/{endpoint}", json.dumps(data).encode(), {"Content-Type": "application/json"}
        )
        with self._opener.open(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)["data"]
            return found

    def task(self, id_: str) -> dict[str, Any]:
        found: dict[str, Any] = self("tasks.get_by_id", task=id_)["task"]
        return found


@pytest.fixture(scope="module")
def call(server: RunningServer) -> Client:
    return Client(server)


@pytest.fixture(scope="module")
def queue(call: Client) -> str:
    return str(call("queues.create", name=QUEUE)["id"])


@pytest.fixture(scope="module")
def template(call: Client) -> str:
    """A task with a script in it, that was never run: a literal, so no repository is needed."""
    project = call("projects.create", name="contract/agent")["id"]
    made = call(
        "tasks.create",
        name="template",
        type="training",
        project=project,
        script={
            "entry_point": "template.py",
            "working_dir": ".",
            "repository": "",
            "diff": (SCRIPTS / "template.py").read_text(),
        },
    )
    return str(made["id"])


@pytest.fixture(scope="module")
def agent_log(server_environ: dict[str, str], queue: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A daemon in a session of its own, so that all it starts can be ended with it."""
    log = tmp_path_factory.mktemp("agent") / "agent.log"
    environ = {
        **server_environ,
        "CLEARML_WORKER_ID": "contract:0",
        "CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL": "1",
        "CLEARML_AGENT_QUEUE_POLL_FREQ_SEC": "0.2",
        "CLEARML_AGENT__SDK__DEVELOPMENT__REPORT_USE_SUBPROCESS": "false",
        "CLEARML_AGENT__AGENT__DISABLE_AGENT_UPDATE_CHECK": "true",
    }
    command = [sys.executable, "-m", "clearml_agent", "daemon", "--queue", QUEUE, "--foreground", "--cpu-only"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environ, cwd=log.parent, stdout=output, stderr=output, start_new_session=True
        )
    yield log
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)


@pytest.fixture
def eventually(agent_log: Path) -> Callable[..., None]:
    """Waits for something to become true, long enough for a busy machine."""

    def wait(condition: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not happen:\n{agent_log.read_text()[-3000:]}"
            time.sleep(0.1)

    return wait


def clone(call: Client, template: str, queue: str, **parameters: str) -> str:
    """A clone of the template with parameters, in the queue."""
    section = {name: {"section": "General", "name": name, "value": value} for name, value in parameters.items()}
    made = call("tasks.clone", task=template, new_task_name="a clone", new_task_hyperparams={"General": section})["id"]
    call("tasks.enqueue", task=made, queue=queue)
    return str(made)


def test_a_queued_clone_runs_to_completion(call: Client, template: str, queue: str, eventually: Any) -> None:
    id_ = clone(call, template, queue, lr="0.5")
    eventually(lambda: call.task(id_)["status"] not in ("queued", "in_progress"), "the end of the task")
    task = call.task(id_)
    assert (task["status"], task["last_worker"]) == ("completed", "contract:0")
    assert task["status_reason"] == "worker execution done"
    [score] = [last for variants in task["last_metrics"].values() for last in variants.values()]
    assert (score["metric"], score["variant"], score["value"], score["count"]) == ("validation", "score", 2.5, 5)
    assert task["hyperparams"]["General"]["lr"]["value"] == "0.5"
    assert task["hyperparams"]["General"]["iterations"]["type"] == "int"
    log = call("events.get_task_log", task=id_, batch_size=1000)["events"]
    assert "the script ended with 0.5" in "".join(event["msg"] for event in log)
    assert task["started"] <= task["completed"]
    assert call("queues.get_by_id", queue=queue)["queue"]["entries"] == []


def test_a_running_task_is_aborted(call: Client, template: str, queue: str, eventually: Any) -> None:
    id_ = clone(call, template, queue, sleep="1000")
    eventually(lambda: call.task(id_)["last_metrics"], "the first scalar")
    [worker] = [each for each in call("workers.get_all")["workers"] if each["id"] == "contract:0"]
    assert worker["task"]["id"] == id_
    assert call("tasks.stop", task=id_)["fields"]["status_message"] == "stopping"
    eventually(lambda: call.task(id_)["status"] != "in_progress", "the abort")
    assert call.task(id_)["status"] == "stopped"
    eventually(lambda: "user aborted" in _console(call, id_), "the agent's last word")


def _console(call: Client, id_: str) -> str:
    events = call("events.get_task_log", task=id_, batch_size=1000)["events"]
    return "".join(event["msg"] for event in events).lower()


def test_the_stock_optimizer(
    call: Client, template: str, queue: str, server_environ: dict[str, str], agent_log: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "optimizer.py"), template, QUEUE],
        cwd=tmp_path,
        env=server_environ,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr + agent_log.read_text()[-3000:]
    found = json.loads(done.stderr.strip().splitlines()[-1])
    assert len(found["top"]) == 2
    assert found["statuses"] == ["completed", "completed"]
    assert found["values"] == sorted(found["values"])
    assert found["parents"]
