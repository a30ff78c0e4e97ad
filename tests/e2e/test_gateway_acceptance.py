"""The unmodified `hopaas_client` against `clearml-hpo gateway run`: directly and behind NGINX, on both databases.

HOPAAS_CLIENT names a checkout of it at commit 8495c3e. Without one, what it sent is replayed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.contract.gateway.test_hopaas_client import CHECKOUT, README, run, run_its_tests
from tests.contract.gateway.test_hopaas_wire import Hopaas, replay
from tests.e2e.test_gateway import Gateway, studies
from tests.integration.gateway.conftest import empty_postgresql, postgresql_url  # noqa: F401 - fixtures
from tests.integration.gateway.test_install import nginx

pytestmark = pytest.mark.long


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
    with httpx.Client(timeout=60, verify=place.environ.get("SSL_CERT_FILE", True)) as client:
        replay(Hopaas(client, place.gateway.token, place.url), version("clearml-hpo"))
    _no_secret_below(tmp_path, place.gateway)


def _no_secret_below(folder: Path, gateway: Gateway) -> None:
    """The token is in the gateway's first lines and in what the tests wrote themselves, nowhere else."""
    secret = gateway.token.split("_", 2)[2][:43].encode()
    found = {path for path in folder.rglob("*") if path.is_file() and secret in path.read_bytes()}
    assert found <= {gateway.log, folder / "hopaasrc"}
    assert gateway.text.count(gateway.token) == 3
