"""The programs of the DaskCluster, started with its arguments and variables, do what Dask's operator asks of them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import yaml
from distributed import Client, Event

from clearml_hpo.deployment.kubernetes import Cluster, render_files

pytestmark = [pytest.mark.long, pytest.mark.embedded]
CLUSTER = Cluster("gpu", "http://a", "http://b", "http://c", gpus=0, workers="job")
DEADLINE_S = 120


@contextmanager
def running(container: dict, environ: dict[str, str], log: Path, *more: str):
    """A container's command as a process of this machine, with the variables that it names."""
    program, *rest = container["command"]
    command = [str(Path(sys.executable).with_name(program)), *rest, *container["args"], *more]
    named = {entry["name"]: entry["value"] for entry in container.get("env", [])}
    with log.open("w") as file:
        process = subprocess.Popen(command, env={**environ, **named}, stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def wait(happened, log: Path):
    deadline = time.monotonic() + DEADLINE_S
    while not (found := happened()):
        assert time.monotonic() < deadline, log.read_text()
        threading.Event().wait(0.1)
    return found


def test_the_operator_is_told_how_many_workers_are_wanted(server_environ, tmp_path):
    def trial(event: str) -> None:
        Event(event).wait()

    def tasks_known(dask_scheduler) -> int:
        return len(dask_scheduler.tasks)

    spec = yaml.safe_load(render_files(CLUSTER)["dask/daskcluster.yaml"])["spec"]
    (scheduler,), (worker,) = (spec[role]["spec"]["containers"] for role in ("scheduler", "worker"))
    assert scheduler["args"] == ["--host", "0.0.0.0"]
    scheduler["args"] = ["--host", "127.0.0.1"]
    known, logs = tmp_path / "scheduler.json", [tmp_path / "scheduler.log", tmp_path / "worker.log"]
    here = ("--port", "0", "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(known))
    with running(scheduler, server_environ, logs[0], *here):
        wait(lambda: known.exists() and known.read_text().endswith("}"), logs[0])
        found = json.loads(known.read_text())
        by_operator = {"DASK_WORKER_NAME": "clearml-hpo-default-worker-1f", "DASK_SCHEDULER_ADDRESS": found["address"]}
        api = f"http://127.0.0.1:{found['services']['dashboard']}/api/v1"
        assert requests.get(api.replace("/api/v1", "/health"), timeout=60).ok
        with running(worker, {**server_environ, **by_operator}, logs[1]), Client(found["address"]) as client:
            wait(lambda: client.scheduler_info()["workers"], logs[1])
            (joined,) = client.scheduler_info()["workers"].values()
            assert (joined["name"], joined["nthreads"]) == ("clearml-hpo-default-worker-1f", 1)
            futures = [client.submit(trial, "end", key=f"clearml-trial-{n}", pure=False) for n in range(3)]
            wait(lambda: client.run_on_scheduler(tasks_known) == 3, logs[0])
            # At once, not only when it has seen how long they take.
            assert requests.get(f"{api}/adaptive_target", timeout=60).json()["workers"] == 3
            Event("end", client).set()
            client.gather(futures)
