"""``clearml-hpo gateway start``, ``stop`` and ``status``, as a user types them on a machine without any server."""

from __future__ import annotations

import json
import os
import re
import signal
import threading

import psutil
import pytest
import requests

from clearml_hpo import RemoteStudy
from clearml_hpo.machine.background import is_running
from clearml_hpo.testing.executor_contract import eventually

from .conftest import Machine

pytestmark = [pytest.mark.embedded, pytest.mark.long]

STUDY_FILE = {
    "search_space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
    "objective": {"metric": "validation/loss", "direction": "minimize"},
    "sampler": "random",
    "budget": {"trials": 5},
}
PORT = ("--port", "0")


@pytest.fixture
def machine(tmp_path):
    """One for each test: the first start of a gateway says a token."""
    return Machine(tmp_path)


@pytest.fixture
def commands(machine):
    """Runs `clearml-hpo gateway ...`; nothing runs afterwards."""

    def gateway(*arguments, code=0):
        found, output = machine.run("gateway", *arguments)
        assert found == code, output
        return output

    yield gateway
    machine.run("gateway", "stop")
    assert machine.left_running() == []


def facts(commands):
    return json.loads(commands("status", "--format", "json").splitlines()[-1])


def test_killed_it_is_started_anew(machine, commands):
    """Without a study: a gateway that ends without its ClearML server asks for that for more than a minute."""
    url = re.search(r"gateway: (\S+)", commands("start", *PORT))[1]
    pid = facts(commands)["pid"]
    children = psutil.Process(pid).children()
    next(child for child in children if "clearml_hpo.gateway.process" in child.cmdline()).kill()
    assert requests.get(f"{url}/healthz", timeout=60).status_code == 200, "it waits for the new process"
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: machine.left_running() == [], "the process that serves ends with its parent")
    assert facts(commands) == {"running": False}
    commands("start", *PORT)
    assert facts(commands)["pid"] != pid


def test_start_status_stop(machine, commands):
    assert "no gateway is running on" in commands("status")
    assert facts(commands) == {"running": False}
    assert "no gateway was running on" in commands("stop")
    said = commands("start", *PORT)
    url, token = re.search(r"^gateway: (\S+)", said, re.MULTILINE)[1], re.search(r"gwt_\S+", said)[0]
    assert f"{url}/login?key=" in said
    again = commands("start", "--port", "1")  # which nothing may listen on: the one that runs stays
    assert f"gateway: {url}\n" in again and "gwt_" not in again
    pid = int(re.search(r"running \(process (\d+)\)", again)[1])

    study = RemoteStudy(url, "background", STUDY_FILE, token=token)
    trials = [study.ask() for _ in range(2)]
    eventually(lambda: facts(commands)["outbox"] == 0, "ClearML knows of both", lambda: facts(commands))
    found = facts(commands)
    assert (found["running"], found["pid"], found["url"], found["ready"]) == (True, pid, url, True)
    assert (found["studies"], found["trials"], found["faults"]) == (1, 2, [])
    assert found["database"].startswith("sqlite:///") and found["server"].startswith("http://127.0.0.1:")
    assert re.search(r"^trials +2$", commands("status"), re.MULTILINE)

    trials[0].complete(loss=0.25)  # just before the end: written all the same
    assert commands("stop").endswith("stopped\n")
    assert facts(commands) == {"running": False} and not is_running(pid)
    log = (machine.home / "gateway" / "gateway.log").read_text()
    assert "the gateway has ended" in log and "Traceback" not in log
    assert token not in log and "login?key" not in log

    said = commands("start", *PORT)
    assert "tokens: clearml-hpo gateway token list" in said
    url = re.search(r"^gateway: (\S+)", said, re.MULTILINE)[1]
    study = RemoteStudy(url, "background", token=token)
    eventually(lambda: study.best() is not None, "the result of before is there")
    assert study.best()["values"] == [0.25]
    assert facts(commands)["trials"] == 1, "the other trial is still its worker's"


def test_of_several_that_start_at_once_one_runs(machine, commands):
    said = []
    threads = [threading.Thread(target=lambda: said.append(commands("start", *PORT))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert len({re.search(r"running \(process \d+\)", each)[0] for each in said}) == 1 and len(said) == 3, said
    said = commands("run", *PORT, code=1)
    assert "another gateway already runs on" in said and "`clearml-hpo gateway stop` ends it" in said, said


def test_one_that_cannot_serve_says_why(machine, commands):
    taken = re.search(r":(\d+)$", re.search(r"gateway: (\S+)", commands("start", *PORT))[1])[1]
    other = {"CLEARML_HPO_HOME": str(machine.home / "other")}
    code, output = machine.run("gateway", "start", "--port", taken, **other)
    assert code == 1 and f"error: 127.0.0.1:{taken} cannot be used (Address already in use)" in output, output
    code, output = machine.run("gateway", "start", "--database", "mysql://host/name", **other)
    assert code == 2 and "the gateway's database: found mysql" in output, output
    code, output = machine.run("gateway", "status", **other)
    assert code == 0 and "no gateway is running on" in output
