"""Studies on Kubernetes, whose pods are processes of this machine.

By the files of `deploy kubernetes`, with workers that come with the queue's length; and by ClearML's own Kubernetes
agent, unmodified.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from clearml_hpo.backend.http import Client
from clearml_hpo.machine.settings import ServerAddress
from tests import keda

pytestmark = [pytest.mark.agent, pytest.mark.embedded, pytest.mark.long]
HERE = Path(__file__).parent / "kubernetes"
TRAIN = """
from clearml import Task

task = Task.init()
params = task.connect({"x": 1.0})
task.get_logger().report_scalar("val", "loss", (params["x"] - 0.3) ** 2, 0)
"""
STUDY = """
study: on Kubernetes
project: tests/kubernetes
template: {script: train.py}
search_space: {General/x: {type: float, low: 0, high: 1}}
objective: {metric: val/loss, direction: minimize}
sampler: {name: random, seed: 1}
execution: {queue: cluster, concurrency: 2, poll_interval: 0.5s}
budget: {trials: 4}
"""


@pytest.fixture
def server(machine):
    """A server; environment variables of those that use it."""
    assert machine.run("server", "start")[0] == 0
    code, exports = machine.run("server", "env")
    assert code == 0, exports
    yield dict(re.findall(r"export (\w+)=['\"]?([^'\"\n]+)", exports))
    assert machine.run("server", "stop")[0] == 0


def client_of(environ: dict[str, str]) -> Client:
    return Client(ServerAddress(*(environ[name] for name in ServerAddress(*"     ").environ())))


@pytest.fixture
def glue(machine, server, tmp_path):
    """The agent, with a cluster of which it knows nothing but ``kubectl``; the pods that it has started."""
    code, conf = machine.run("server", "env", "--conf")
    assert code == 0, conf
    (tmp_path / "clearml.conf").write_text(conf)
    client_of(server).call("queues.create", name="cluster")
    (tmp_path / "bin").mkdir()
    kubectl = tmp_path / "bin/kubectl"
    kubectl.write_text(f"#!{sys.executable}\n{(HERE / 'kubectl.py').read_text()}")
    kubectl.chmod(0o755)
    # An image that has everything that trials need: nothing is installed in a pod.
    given = {
        "LOCAL_PYTHON": sys.executable,
        "CLEARML_AGENT_SKIP_CONTAINER_APT": "1",
        "CLEARML_AGENT_NO_UPDATE": "1",
        "CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL": "1",
        "CLEARML_AGENT__SDK__DEVELOPMENT__REPORT_USE_SUBPROCESS": "false",
    }
    env = [{"name": name, "value": value} for name, value in given.items()]
    pod = {"spec": {"containers": [{"name": "trial", "env": env}]}}
    (tmp_path / "pod.json").write_text(json.dumps(pod))  # JSON is YAML
    process = machine.start(
        str(HERE / "glue.py"),
        "cluster",
        str(tmp_path / "pod.json"),
        command=[sys.executable],
        PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        CLEARML_CONFIG_FILE=str(tmp_path / "clearml.conf"),
        CLEARML_AGENT_QUEUE_POLL_FREQ_SEC="0.5",
    )
    yield tmp_path / "pods"
    process.kill()
    sys.stdout.write(process.communicate()[0])
    for file in (tmp_path / "pods").glob("*.json"):
        pod = json.loads(file.read_text())
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pod["pid"]).create_time() == pod["created"]:
                os.killpg(pod["pid"], signal.SIGKILL)


def test_a_study_whose_trials_are_pods(machine, server, glue, tmp_path):
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "study.yaml").write_text(STUDY)
    code, output = machine.run("run", str(tmp_path / "study.yaml"), **server)
    assert code == 0, output
    assert len(re.findall(r"trial \d completed", output)) == 4, output
    assert "attempt 2" not in output
    homes = [home for home in glue.iterdir() if home.is_dir()]
    assert len(homes) == 4
    # Server and keys have come with the pod; a worker of its own is named after agent and task.
    assert all("api_server" in (home / "clearml.conf").read_text() for home in homes)
    client = client_of(server)
    tasks = client.call("tasks.get_all", id=[home.name.removeprefix("clearml-id-") for home in homes])["tasks"]
    assert {task["status"] for task in tasks} == {"completed"}
    assert all(task["last_worker"].endswith(f":{task['id']}") for task in tasks)
    assert client.call("queues.get_all", name="^k8s_scheduler$")["queues"][0]["entries"] == []


def test_workers_come_with_the_queue_and_leave(machine, server, tmp_path):
    """All is read from the files: commands, variables, the request for the queue's length, the most jobs."""
    hosts = ("--api-host", server["CLEARML_API_HOST"], "--files-host", server["CLEARML_FILES_HOST"])
    options = ("--queue", "cluster", "--gpus", "0", "--maximum", "2", *hosts, "--output", str(tmp_path / "files"))
    code, output = machine.run("deploy", "kubernetes", *options, **server)
    assert code == 0, output
    settings = yaml.safe_load((tmp_path / "files/base/clearml.yaml").read_text())["data"]
    job, authentication = yaml.safe_load_all((tmp_path / "files/base/worker-scaledjob.yaml").read_text())
    (container,) = job["spec"]["jobTargetRef"]["template"]["spec"]["containers"]
    words = container["args"]
    words[words.index("--idle-timeout") + 1] = "3s"
    secret = {name: value for name, value in server.items() if name.endswith("_KEY")}

    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "study.yaml").write_text(STUDY.replace("on Kubernetes", "on KEDA"))
    study = machine.start("run", str(tmp_path / "study.yaml"), **server)
    jobs: list[subprocess.Popen[str]] = []
    while study.poll() is None:
        running = sum(process.poll() is None for process in jobs)
        for _ in range(keda.missing_jobs(job, keda.length(job, authentication, secret), running)):
            jobs.append(machine.start(*words, **settings, **secret))
        time.sleep(2)
    output, _ = study.communicate()
    assert study.returncode == 0, output
    assert len(re.findall(r"trial \d completed", output)) == 4, output
    for process in jobs:
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert keda.length(job, authentication, secret) == 0
