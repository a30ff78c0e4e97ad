"""`deploy kubernetes` asks the server for the queue's id."""

from __future__ import annotations

import subprocess
import sys

import yaml

from tests import place

COMMAND = [sys.executable, "-m", "clearml_hpo", "deploy", "kubernetes", "--api-host", "https://api.example.com"]


def deploy(queue: str, environ: dict[str, str], folder) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "--queue", queue, "--output", str(folder)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)


def test_the_queues_id_is_the_servers(server, server_environ, tmp_path):
    call, queue = place.Calls(server.address), place.queue("keda")
    for folder in ("new", "there"):  # the first makes the queue
        done = deploy(queue, server_environ, tmp_path / folder)
        assert done.returncode == 0, done.stderr
        (found,) = call("queues.get_all", name=f"^{queue}$")["queues"]
        job = next(yaml.safe_load_all((tmp_path / folder / "base/worker-scaledjob.yaml").read_text()))
        url = f"https://api.example.com/queues.get_num_entries?queue={found['id']}"
        assert job["spec"]["triggers"][0]["metadata"]["url"] == url


def test_without_a_server_the_id_is_asked_for(server_environ, tmp_path):
    environ = {**server_environ, "CLEARML_API_HOST": "http://127.0.0.1:9", "CLEARML_HPO_HOME": str(tmp_path / "home")}
    done = deploy("gpu", environ, tmp_path / "out")
    assert done.returncode == 2
    assert "--queue-id ID" in done.stderr and not (tmp_path / "out").exists()
