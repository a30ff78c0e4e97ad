"""``clearml-hpo gateway run``, as a user starts it, with workers that know nothing but HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid

import psutil
import pytest
import requests

from clearml_hpo import RemoteStudy
from clearml_hpo.backend.api import Api
from clearml_hpo.core.trial import TrialState
from clearml_hpo.studies.study import Study
from clearml_hpo.testing.executor_contract import eventually
from tests import place

from .conftest import running_in

pytestmark = pytest.mark.long
SET_UP = {"hopaas_config": {"title": "bowl", "sampler": {"name": "RandomSampler"}}, "x": "optuna#uniform(0, 1)"}


class Gateway:
    """One that runs, and what it says."""

    def __init__(self, folder, environ, *, hopaas=True):
        self.log = folder / "gateway.log"
        command = [sys.executable, "-m", "clearml_hpo", "gateway", "run", "--port", "0", *(["--hopaas"] * hopaas)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, env={**os.environ, **environ}, cwd=folder, stdout=log, stderr=subprocess.STDOUT
            )
        eventually(lambda: "shown again" in self.text, "it says a token", lambda: self.text)
        self.url = re.search(r"gateway: (\S+)", self.text)[1]
        self.token = re.search(r"(gw[ht]_\S+)", self.text)[1]

    @property
    def text(self):
        return self.log.read_text()

    def kill(self):
        """The process that serves, as if it had crashed."""
        for child in psutil.Process(self.process.pid).children():
            if "clearml_hpo.gateway.process" in child.cmdline():
                child.kill()

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(90) == 0, self.text
        assert "Traceback" not in self.text, self.text

    def post(self, route, **body):
        answer = requests.post(f"{self.url}/api/{route}/{self.token}", data=json.dumps(body), timeout=60)
        assert answer.status_code == 200, answer.text
        return answer

    def trial(self):
        return self.post("ask", **SET_UP).json()

    def train(self, given):
        """Returns the loss that was told, None if it was pruned."""
        loss = (given["x"] - 0.3) ** 2
        for step in range(1, 4):
            if self.post("should_prune", hopaas_trial=given["hopaas_trial"], step=step, loss=loss + 1 / step).json():
                return None
        self.post("tell", hopaas_trial=given["hopaas_trial"], loss=loss)
        return loss


@pytest.fixture
def gateway(tmp_path, server, server_environ, monkeypatch):
    for name, value in server.address.environ().items():
        monkeypatch.setenv(name, value)
    started = Gateway(tmp_path, {**server_environ, "CLEARML_HPO_HOME": str(tmp_path / "home")})
    yield started
    started.end()
    assert running_in(tmp_path / "home") == []


def test_the_link_that_it_prints_logs_a_browser_in(gateway):
    link = re.search(r"within ten minutes: (\S+)", gateway.text)[1]
    assert link.startswith(f"{gateway.url}/login?key=")
    session = requests.Session()
    key = re.search(r'name="key" value="([^"]+)"', session.get(link, timeout=60).text)[1]
    page = session.post(f"{gateway.url}/login", {"key": key}, headers={"origin": gateway.url}, timeout=60)
    assert page.url == f"{gateway.url}/studies" and "<h1>Studies</h1>" in page.text, page.text
    guide = session.get(f"{gateway.url}/guide", timeout=60).text
    assert gateway.url in guide and "clearml-hpo-outside" in guide


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def studies():
    return {study.name: study for study in Study.list(project="clearml-hpo-outside")}


def test_a_study_is_made_by_the_first_ask_and_each_trial_is_a_task(gateway):
    told = [gateway.train(gateway.trial()) for _ in range(5)]
    name = next(name for name in studies() if name.startswith("bowl-"))
    eventually(
        lambda: [trial.state for trial in studies()[name].trials[:5]] == [TrialState.COMPLETED] * 5, "all are there"
    )
    study = studies()[name]
    assert [trial.value for trial in study.trials[:5]] == pytest.approx(told)
    assert study.best.value == pytest.approx(min(told))
    best = requests.get(
        f"{gateway.url}/api/get_best_trial/{gateway.token}?hopaas_trial={gateway.trial()['hopaas_trial']}", timeout=60
    ).json()
    assert int(best.rpartition(":")[2]) == told.index(min(told))


def test_killed_twice_while_workers_work_nothing_that_was_answered_is_lost(gateway):
    told, numbers, lock, end = {}, [], threading.Lock(), threading.Event()

    def work():
        while not end.is_set():
            try:
                given = gateway.trial()
                number = int(given["hopaas_trial"].rpartition(":")[2])
                with lock:
                    numbers.append(number)
                loss = gateway.train(given)
                with lock:
                    told[number] = loss
            except requests.ConnectionError:  # cut in the middle: nothing was answered
                time.sleep(0.1)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    try:
        for number in (5, 12):
            eventually(lambda wanted=number: len(told) >= wanted, f"{number} results", lambda: gateway.text)
            gateway.kill()
        eventually(lambda: len(told) >= 20, "20 results", lambda: gateway.text)
    finally:
        end.set()
        for worker in workers:
            worker.join(120)
    assert gateway.text.count("has died (signal 9)") == 2
    assert len(numbers) == len(set(numbers)), "no number twice"
    name = next(name for name in studies() if name.startswith("bowl-"))

    def states():
        return {trial.number: trial for trial in studies()[name].trials}

    eventually(lambda: all(states()[number].state is TrialState.COMPLETED for number in told), "all are completed")
    found = states()
    assert {number: found[number].value for number in told} == pytest.approx(told)
    assert sorted(found) == list(range(len(found))), "no gap"
    tasks = Api().call("tasks.get_all", id=[trial.task_id for trial in found.values()], only_fields=["id"])["tasks"]
    assert len(tasks) == len(found)


def test_ctrl_c_ends_it_and_the_token_is_in_no_output_but_the_first(gateway):
    given = gateway.trial()
    gateway.process.send_signal(signal.SIGINT)
    assert gateway.process.wait(60) == 0
    assert "the gateway has ended" in gateway.text
    assert gateway.text.count(gateway.token) == 3, "in the first lines alone"
    assert given["hopaas_trial"].endswith(":0")


TRAIN = """
import time
from clearml import Task
task = Task.init("tests", "mixed")
values = task.connect({"x": 0.5})
for step in range(1, 4):
    time.sleep(0.2)
    task.get_logger().report_scalar("valid", "loss", (values["x"] - 0.3) ** 2 + 1 / step, step)
"""
MIXED = """\
study: mixed
project: {project}
template: {{script: train.py}}
search_space: {{x: {{type: float, low: 0.0, high: 1.0}}}}
objective: {{metric: valid/loss, direction: minimize}}
sampler: {{name: random, seed: 2}}
pruner: none
budget: {{trials: 30}}
failures: {{lost: 2}}
execution: {{queue: [{agents}, {warm}, dask, outside], poll_interval: 0.5, dask: {{address: "{dask}"}}}}
"""


def test_agents_warm_workers_dask_and_http_clients_feed_one_study(tmp_path, server, server_environ, monkeypatch):
    for name, value in server.address.environ().items():
        monkeypatch.setenv(name, value)
    environ = {**os.environ, **server_environ, "CLEARML_HPO_HOME": str(tmp_path / "home")}
    agents, warm, dask = place.queue("agents"), place.queue("warm"), f"tcp://127.0.0.1:{free_port()}"
    for queue in (agents, warm):
        Api().call("queues.create", name=queue)
    (tmp_path / "train.py").write_text(TRAIN)
    project = f"tests/{uuid.uuid4().hex[:8]}"
    (tmp_path / "study.yaml").write_text(MIXED.format(project=project, agents=agents, warm=warm, dask=dask))
    hpo, programs = [sys.executable, "-m", "clearml_hpo"], []
    own = {"env": environ, "cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    subprocess.run([*hpo, "agents", "up", "--queue", agents, "--cpu", "1"], check=True, **own)
    gateway = None
    try:
        for command in (
            [*hpo, "worker", "--queue", warm, "--cpu", "1", "--threads", "1"],
            [
                sys.executable,
                "-m",
                "distributed.cli.dask_scheduler",
                "--port",
                dask.rpartition(":")[2],
                "--no-dashboard",
            ],
            [*hpo, "dask", "worker", dask, "--cpu", "1", "--threads", "1"],
        ):
            programs.append(subprocess.Popen(command, **own))
        gateway = Gateway(tmp_path, environ, hopaas=False)
        said = subprocess.run(
            [*hpo, "gateway", "study", "add", "study.yaml", "--format", "json"],
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert said.returncode == 0, said.stderr
        controller = json.loads(said.stdout)["controller"]
        told, lock = {}, threading.Lock()

        def work():
            study = RemoteStudy(gateway.url, "mixed", token=gateway.token)
            for trial in study.trials():
                with trial:
                    loss = (trial.params["x"] - 0.3) ** 2
                    for step in range(1, 4):
                        time.sleep(0.1)
                        trial.report(step, loss=loss + 1 / step)
                    trial.complete(loss=loss)
                    with lock:
                        told[trial.number] = loss

        clients = [threading.Thread(target=work) for _ in range(3)]
        for client in clients:
            client.start()
        for wanted in (2, 6):
            eventually(lambda wanted=wanted: len(told) >= wanted, f"{wanted} told", lambda: gateway.text)
            gateway.kill()
        for client in clients:
            client.join(240)
        eventually(lambda: not Study.load(controller).is_driven(), "the study ends", lambda: gateway.text)
        trials = Study.load(controller).trials
        assert [trial.number for trial in trials] == list(range(30)), gateway.text
        assert {trial.state for trial in trials} == {TrialState.COMPLETED}, gateway.text
        assert {number: trials[number].value for number in told} == pytest.approx(told)
        assert {agents, warm, "dask", "outside"} == {trial.queue for trial in trials}
        assert {trials[number].queue for number in told} == {"outside"}
        best = RemoteStudy(gateway.url, "mixed", token=gateway.token).best()
        assert best["number"] == Study.load(controller).best.number
    finally:
        if gateway is not None:
            gateway.end()
        for program in reversed(programs):
            program.terminate()
            program.wait(60)
        subprocess.run([*hpo, "agents", "down", "--now"], check=True, **own)
