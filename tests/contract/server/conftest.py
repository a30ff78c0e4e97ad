"""An unmodified ``clearml-agent daemon`` on the embedded server, shared by all tests that need one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from clearml_hpo.server import RunningServer
from tests import place

from .client import SCRIPTS, Agent, Client, Queue, Script, run_script


@pytest.fixture(scope="session")
def call(server: RunningServer) -> Client:
    return Client(server)


@pytest.fixture
def idle_queue(call: Client) -> Queue:
    """A queue of the test's own, that no agent serves."""
    name = place.queue("idle", lasts=True)
    return Queue(str(call("queues.create", name=name)["id"]), name)


@pytest.fixture
def template(call: Client) -> str:
    """A task with a script in it, that was never run: a literal, so no repository is needed."""
    name = place.project("agent")
    project = call("projects.get_all", name=f"^{name}$")["projects"]
    made = call(
        "tasks.create",
        name="template",
        type="training",
        project=project[0]["id"] if project else call("projects.create", name=name)["id"],
        script={
            "entry_point": "template.py",
            "working_dir": ".",
            "repository": "",
            "diff": (SCRIPTS / "template.py").read_text(),
        },
    )
    return str(made["id"])


@pytest.fixture(scope="session")
def script(server_environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Script:
    """Runs one of the scripts in a process of its own; what it printed last on its standard error, which is JSON."""

    def run(name: str, *arguments: str) -> dict[str, Any]:
        return run_script(name, *arguments, environ=server_environ, cwd=tmp_path_factory.mktemp("script"))

    return run


@pytest.fixture(scope="session")
def agent(server_environ: dict[str, str], call: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """A daemon in a session of its own, so that all it starts can be ended with it."""
    name = place.queue("agent", lasts=True)
    queue = Queue(str(call("queues.create", name=name)["id"]), name)
    agent = Agent(f"contract-{uuid.uuid4().hex[:8]}:0", queue, tmp_path_factory.mktemp("agent") / "agent.log")
    environ = {
        **server_environ,
        "CLEARML_WORKER_ID": agent.worker,
        "CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL": "1",
        "CLEARML_AGENT_QUEUE_POLL_FREQ_SEC": "0.2",
        "CLEARML_AGENT__SDK__DEVELOPMENT__REPORT_USE_SUBPROCESS": "false",
        "CLEARML_AGENT__AGENT__DISABLE_AGENT_UPDATE_CHECK": "true",
    }
    command = [sys.executable, "-m", "clearml_agent", "daemon", "--queue", name, "--foreground", "--cpu-only"]
    with agent.log_file.open("wb") as output:
        process = subprocess.Popen(
            command, env=environ, cwd=agent.log_file.parent, stdout=output, stderr=output, start_new_session=True
        )
    yield agent
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
