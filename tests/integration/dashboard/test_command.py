"""``clearml-hpo dashboard`` as users start it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
import requests

from tests.dashboards import eventually

_COMMAND = (sys.executable, "-m", "clearml_hpo", "dashboard")


@pytest.fixture
def start(server_environ, tmp_path):
    """Starts the command; it is ended with the test."""
    started = []

    def start(*arguments, **environ):
        process = subprocess.Popen(
            [*_COMMAND, *arguments],
            env={**server_environ, "CLEARML_HPO_HOME": str(tmp_path / "state"), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=60)


@pytest.mark.long
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_interrupted(start, sign):
    process = start("--port", "0")
    url = re.fullmatch(r"dashboard: (http://127\.0\.0\.1:\d+/\?key=\S+)\n", process.stdout.readline())[1]
    with urllib.request.urlopen(url, timeout=60) as answer:
        assert answer.status == 200 and b"<h1>Studies</h1>" in answer.read()
    process.send_signal(sign)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the dashboard has ended; studies go on" in err and "Traceback" not in err
    assert out == ""


@pytest.mark.long
def test_the_pages_of_the_embedded_server_lead_to_it(start, server, tmp_path):
    page = f"{server.address.web}/hpo/studies/abc"

    def lead():
        return requests.get(page, allow_redirects=False, timeout=60).headers.get("location")

    assert lead() is None
    (tmp_path / "server").symlink_to(server.data_dir)
    process = start("--port", "0", CLEARML_HPO_HOME=str(tmp_path))
    port = re.match(r"dashboard: http://127\.0\.0\.1:(\d+)/", process.stdout.readline())[1]
    assert lead() == f"http://127.0.0.1:{port}/studies/abc"
    process.kill()
    process.wait(60)
    assert lead() is None, "a dashboard that was killed leads nobody"


@pytest.mark.long
def test_the_browser_opens_what_answers(start, tmp_path):
    """The browser is a script here, which fetches the link at once."""
    script = tmp_path / "browser"
    fetch = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=60).status)"
    script.write_text(f'#!/bin/sh\n"{sys.executable}" -c "{fetch}" "$1" > "{tmp_path}/status" 2>&1\n')
    script.chmod(0o755)
    start("--port", "0", "--open", BROWSER=f"{script} %s &")
    eventually(lambda: (tmp_path / "status").is_file() and (tmp_path / "status").read_text() == "200\n")


def test_a_port_in_use(start):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        _, err = (process := start("--port", str(port))).communicate(timeout=60)
    assert (
        process.returncode == 2 and f"error: port {port} cannot be used (Address already in use); try --port 0" in err
    )


def test_without_any_server(start, server_environ):
    nothing = {name: "" for name in server_environ if name.startswith("CLEARML_") and "HOST" in name}
    process = start("--local", "--port", "0", **nothing)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "no embedded one was ever started on this machine" in err
