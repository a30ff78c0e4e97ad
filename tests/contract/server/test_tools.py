"""ClearML's command lines, unmodified, against the embedded server: ``clearml-init``, ``-data`` and ``-task``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clearml_hpo.server import RunningServer
from tests import place

from .client import Client, Queue, Script

pytestmark = pytest.mark.long

Tool = Callable[..., str]


@pytest.fixture
def tool(server_environ: dict[str, str], tmp_path: Path) -> Tool:
    """Runs a command line of ClearML, with what a person types and without some variables; what it printed."""

    def run(name: str, *arguments: str, typed: str = "", without: tuple[str, ...] = ()) -> str:
        done = subprocess.run(
            [str(Path(sys.executable).with_name(name)), *arguments],
            cwd=tmp_path,
            env={name: value for name, value in server_environ.items() if not name.startswith(without)},
            input=typed,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_a_machine_is_set_up(tool: Tool, server: RunningServer, tmp_path: Path) -> None:
    address, conf = server.address, tmp_path / "clearml.conf"
    typed = f"""api {{
        web_server: {address.web}
        api_server: {address.api}
        files_server: {address.files}
        credentials {{ "access_key" = "{address.access_key}", "secret_key" = "{address.secret_key}" }}
    }}\n\n\n"""
    printed = tool("clearml-init", "--file", str(conf), typed=typed, without=("CLEARML",))
    assert "Credentials verified!" in printed
    assert address.api in conf.read_text() and address.secret_key in conf.read_text()


def test_a_dataset(tool: Tool, script: Script, call: Client, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.txt").write_text("first")
    (data / "b.bin").write_bytes(bytes(range(256)) * 1000)
    tool("clearml-data", "create", "--project", place.project("data"), "--name", "the data", "--tags", "small")
    tool("clearml-data", "add", "--files", str(data))  # of the dataset that was made last
    tool("clearml-data", "close")
    [task] = call("tasks.get_all", name="^the data$", tags=["small"])["tasks"]
    id_, copy = task["id"], tmp_path / "copy"
    assert (task["status"], task["type"], task["tags"]) == ("completed", "data_processing", ["small"])

    listed = tool("clearml-data", "list", "--id", id_)
    assert "a.txt" in listed and "b.bin" in listed and "256" in listed
    tool("clearml-data", "get", "--id", id_, "--copy", str(copy))
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == {
        path.name: path.read_bytes() for path in data.iterdir()
    }
    assert "no errors found" in tool("clearml-data", "verify", "--id", id_, "--folder", str(copy))

    found = script("dataset.py", id_)
    assert found == {
        **{"files": ["a.txt", "b.bin"], "first": "first", "versions": ["1.0.0", "1.0.1"], "by name": True},
        **{"added": ["c.txt"], "child": ["a.txt", "b.bin", "c.txt"], "deleted": True},
    }


def test_a_task_from_the_command_line(tool: Tool, call: Client, idle_queue: Queue, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import argparse\nparser = argparse.ArgumentParser()\n")
    (tmp_path / "requirements.txt").write_text("numpy>=1.0\n")
    printed = tool(
        "clearml-task",
        *("--project", place.project("command line"), "--name", "from a command line", "--task-type", "testing"),
        *("--script", "train.py", "--requirements", "requirements.txt", "--skip-task-init"),
        *("--queue", idle_queue.name, "--args", "lr=0.5", "depth=3", "--tags", "made"),
    )
    [task] = call("tasks.get_all", name="^from a command line$")["tasks"]
    assert task["id"] in printed
    assert (task["status"], task["type"], task["tags"]) == ("queued", "testing", ["made"])
    assert {name: item["value"] for name, item in task["hyperparams"]["Args"].items()} == {"lr": "0.5", "depth": "3"}
    assert "argparse" in task["script"]["diff"]
    assert "numpy" in json.dumps(task["script"]["requirements"])
    entries = call("queues.get_by_id", queue=idle_queue.id)["queue"]["entries"]
    assert [entry["task"] for entry in entries] == [task["id"]]
