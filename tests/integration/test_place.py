"""``make test-server``: the tests on a server that the environment names, of which nothing is left there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from clearml_hpo import server as embedded
from clearml_hpo.server.state import DataDir, Listening
from tests import place
from tests.conftest import unconfigured

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
SOME = ("tests/contract/server/test_tools.py", "-k", "command_line or machine")


@pytest.fixture
def other(tmp_path):
    """A server that is not the tests' own, with something of somebody's on it; how to call it."""
    DataDir(tmp_path).note(Listening(pid=0, host="127.0.0.1", api=0, files=0, web=0))
    address = embedded.start(tmp_path, with_parent=True).address
    call = place.Calls(address)
    project = call("projects.create", name="clearml-hpo-tests", description="")["id"]
    call("tasks.create", name="of somebody", type="training", project=project)
    call("queues.create", name="of somebody")
    call.address = address
    yield call
    embedded.stop(tmp_path)


def run(environ, *arguments):
    # A run of its own, also where this one is split among processes.
    own = {name: text for name, text in unconfigured().items() if not name.startswith("PYTEST_XDIST")}
    kept = {**own, place.WANTED: "1", **environ}
    kept.pop("CLEARML_HPO_CALL_LOG", None)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *(arguments or SOME)]
    return subprocess.run(command, cwd=ROOT, env=kept, capture_output=True, text=True, timeout=300)


def on_it(call):
    names = {what: call(f"{what}.get_all", search_hidden=True)[what] for what in ("projects", "tasks", "queues")}
    return {what: sorted(each["name"] for each in found) for what, found in names.items()}


def test_nothing_is_left_and_nothing_else_is_touched(other):
    before = on_it(other)
    done = run(other.address.environ())
    assert done.returncode == 0, done.stdout + done.stderr
    named = re.search(r"ClearML server: (\S+), project (clearml-hpo-tests-[0-9a-f]{8}) ", done.stdout)
    assert named and named[1] == other.address.api, done.stdout
    assert on_it(other) == before
    assert other("workers.get_all", last_seen=0)["workers"] == []


def test_a_server_that_is_not_named_or_does_not_answer_starts_nothing(other):
    given = other.address.environ()
    for environ, said in (
        ({}, "which ClearML server? set CLEARML_API_HOST, CLEARML_WEB_HOST"),
        ({**given, "CLEARML_API_HOST": "http://127.0.0.1:1"}, "no ClearML server answers at http://127.0.0.1:1"),
        ({**given, "CLEARML_API_SECRET_KEY": "x"}, "refuses the key pair"),
    ):
        done = run(environ)
        assert done.returncode == pytest.ExitCode.USAGE_ERROR and said in done.stderr, done.stdout + done.stderr


def test_a_project_that_the_environment_names_is_not_used(other):
    """It would be deleted."""
    done = run({**other.address.environ(), "TEST_PROJECT": "clearml-hpo-tests"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "of somebody" in on_it(other)["tasks"]


def test_what_the_run_has_made_is_deleted_with_its_queues_and_workers(other):
    theirs = other("queues.create", name=f"pilots-{'0' * 32}")["id"]
    before = on_it(other)
    project = other("projects.create", name=place.project("one", "two"), description="")["id"]
    task = other("tasks.create", name="that runs", type="training", project=project)["id"]
    other("tasks.started", task=task)
    queue = other("queues.create", name=place.queue("work"))["id"]
    other("tasks.enqueue", task=other("tasks.clone", task=task)["id"], queue=queue)
    pilots = other("queues.create", name=f"pilots-{task}")["id"]
    for worker, served in (("host:0", queue), ("host:pilot:0", pilots), ("host:pilot:1", theirs), ("host:1", theirs)):
        other("workers.register", worker=worker, queues=[served], timeout=600)
    assert place.clean(other.address) == []
    assert on_it(other) == before
    assert [worker["id"] for worker in other("workers.get_all", last_seen=0)["workers"]] == ["host:1"]
