"""The unmodified `hopaas_client` against `clearml-hpo gateway run`: directly and behind NGINX, on both databases.

HOPAAS_CLIENT names a checkout of it at commit 8495c3e. Without one, what it sent is replayed.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import requests

from clearml_hpo.core.trial import TrialState
from clearml_hpo.testing.executor_contract import eventually
from tests.contract.gateway.test_hopaas_client import CHECKOUT, README, run, run_its_tests
from tests.contract.gateway.test_hopaas_wire import Hopaas, replay
from tests.e2e.test_gateway import Gateway, studies
from tests.integration.gateway.conftest import empty_postgresql, postgresql_url  # noqa: F401 - fixtures
from tests.integration.gateway.test_install import nginx

pytestmark = pytest.mark.long
SET_UP = {"hopaas_config": {"title": "killed", "sampler": {"name": "RandomSampler"}}, "x": "optuna#uniform(0,1)"}


class Place(NamedTuple):
    """A gateway as clients see it."""

    url: str
    gateway: Gateway
    environ: dict[str, str]


@pytest.fixture(params=["sqlite", "postgresql"])
def gateway(request, tmp_path, server, server_environ, monkeypatch) -> Iterator[Gateway]:
    for name, value in server.address.environ().items():
        monkeypatch.setenv(name, value)
    environ = {**server_environ, "CLEARML_HPO_HOME": str(tmp_path / "home")}
    if request.param == "postgresql":
        environ["CLEARML_HPO_GATEWAY_DATABASE"] = request.getfixturevalue("empty_postgresql")
        command = [sys.executable, "-m", "clearml_hpo", "gateway", "migrate"]
        subprocess.run(command, env={**os.environ, **environ}, check=True, capture_output=True)
    started = Gateway(tmp_path, environ)
    yield started
    started.process.terminate()
    assert started.process.wait(90) == 0, started.text
    assert "Traceback" not in started.text, started.text


@pytest.fixture(params=["direct", "nginx"])
def place(request, gateway, tmp_path) -> Iterator[Place]:
    if request.param == "direct":
        yield Place(gateway.url, gateway, {})
        return
    with nginx(tmp_path / "nginx", int(gateway.url.rpartition(":")[2])) as (url, certificate):
        yield Place(url, gateway, {"REQUESTS_CA_BUNDLE": str(certificate), "SSL_CERT_FILE": str(certificate)})


@pytest.mark.skipif(not (CHECKOUT / "hopaas_client").is_dir(), reason="HOPAAS_CLIENT names no checkout")
def test_the_clients_own_tests_and_its_example_pass(place, tmp_path):
    run_its_tests(tmp_path, place.url, place.gateway.token, **place.environ)
    run(tmp_path, place.url, place.gateway.token, "-c", README, **place.environ)
    name = next(name for name in studies() if name.startswith("Iris GBDT v7-"))
    assert len(studies()[name].trials) >= 20
    _no_secret_below(tmp_path, place.gateway)


def test_what_the_client_sent_is_answered_alike(place, tmp_path):
    context = ssl.create_default_context(cafile=place.environ.get("SSL_CERT_FILE"))
    with httpx.Client(timeout=60, verify=context) as client:
        replay(Hopaas(client, place.gateway.token, place.url), version("clearml-hpo"))
    _no_secret_below(tmp_path, place.gateway)


def test_killed_behind_nginx_clients_that_never_retry_see_nothing(gateway, tmp_path):
    """NGINX sends again what a process that died has not answered, with its key: no number twice, nothing lost."""
    told, numbers, faults, lock = {}, [], [], threading.Lock()

    def post(url: str, certificate: str, call: str, **body):
        # as that client does: a connection for each call, and no second try
        answer = requests.post(
            f"{url}/api/{call}/{gateway.token}", data=json.dumps(body), verify=certificate, timeout=60
        )
        assert answer.status_code == 200, f"{call}: {answer.status_code} {answer.text}"
        return answer

    def work(url: str, certificate: str) -> None:
        try:
            for _ in range(6):
                given = post(url, certificate, "ask", **SET_UP).json()
                trial, loss = given["hopaas_trial"], given["x"]
                with lock:
                    numbers.append(int(trial.rpartition(":")[2]))
                for step in range(3):
                    post(url, certificate, "should_prune", hopaas_trial=trial, step=step, loss=loss)
                post(url, certificate, "tell", hopaas_trial=trial, loss=loss)
                with lock:
                    told[int(trial.rpartition(":")[2])] = loss
        except Exception as error:
            faults.append(repr(error))

    with nginx(tmp_path / "nginx", int(gateway.url.rpartition(":")[2])) as (url, certificate):
        workers = [threading.Thread(target=work, args=(url, str(certificate))) for _ in range(8)]
        for worker in workers:
            worker.start()
        for wanted in (6, 18, 30):
            eventually(lambda wanted=wanted: len(told) >= wanted or faults, f"{wanted} told", lambda: gateway.text)
            gateway.kill()
        for worker in workers:
            worker.join(180)
    assert faults == []
    assert gateway.text.count("has died (signal 9)") == 3
    assert len(told) == len(numbers) == len(set(numbers)) == 48
    name = next(name for name in studies() if name.startswith(f"{SET_UP['hopaas_config']['title']}-"))

    def values() -> dict[int, float]:
        found = studies()[name].trials
        return {trial.number: trial.value for trial in found if trial.state is TrialState.COMPLETED}

    eventually(lambda: told.items() <= values().items(), "each result is in ClearML", lambda: str(values()))


def _no_secret_below(folder: Path, gateway: Gateway) -> None:
    """The token is in the gateway's first lines and in what the tests wrote themselves, nowhere else."""
    secret = gateway.token.split("_", 2)[2][:43].encode()
    found = {path for path in folder.rglob("*") if path.is_file() and secret in path.read_bytes()}
    assert found <= {gateway.log, folder / "hopaasrc"}
    assert gateway.text.count(gateway.token) == 3
