"""`clearml-hpo gateway install`: its files by NGINX's and systemd's own rules, and the gateway behind that NGINX."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from clearml_hpo.cli.gateway import gateway as command
from clearml_hpo.core.errors import InputError
from clearml_hpo.gateway.install import NGINX, UNIT, Site, render_files
from tests.contract.gateway.test_canary import every_route
from tests.contract.gateway.test_hopaas_client import CHECKOUT, README, run, run_its_tests
from tests.gateways import TestGateway

SET_UP = {"x": "optuna#uniform(0,1)", "hopaas_config": {"title": "behind nginx"}}


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None and os.environ.get("CI") != "true":
        pytest.skip(f"no {name} here")
    assert found is not None
    return found


def site(**options) -> Site:
    files = {"certificate": Path("/etc/tls/cert.pem"), "key": Path("/etc/tls/key.pem")}
    return Site(**{"server_name": "hpo.example.org", "port": 8123, **files, **options})


# --- The command ---------------------------------------------------------------------------------------------------


def test_the_command_writes_both_files_and_says_what_to_type(tmp_path):
    arguments = ["install", "--server-name", "hpo.example.org", "--output", str(tmp_path / "files")]
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "files").iterdir()} == {NGINX, UNIT}
    assert "sudo nginx -t" in done.output and "sudo systemctl enable --now" in done.output
    nginx = (tmp_path / "files" / NGINX).read_text()
    assert "server_name hpo.example.org;" in nginx
    assert "ssl_certificate /etc/letsencrypt/live/hpo.example.org/fullchain.pem;" in nginx
    assert CliRunner().invoke(command, arguments).output.count("unchanged") == 2
    (tmp_path / "files" / UNIT).write_text("mine")
    assert isinstance(CliRunner().invoke(command, arguments).exception, InputError)
    assert CliRunner().invoke(command, [*arguments, "--force"]).exit_code == 0


@pytest.mark.parametrize(("option", "name"), [("--nginx", NGINX), ("--systemd", UNIT)])
def test_one_of_them(tmp_path, option, name):
    arguments = ["install", option, "--server-name", "hpo.example.org", "--output", str(tmp_path)]
    assert CliRunner().invoke(command, arguments).exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "options",
    [
        {"server_name": "a b"},
        {"server_name": "a;"},
        {"server_name": ""},
        {"server_name": "hpo.example.org\n"},
        {"certificate": Path("/etc/a b")},
        {"key": Path("key.pem")},
        {"logs": Path("/var/log;")},
        {"user": "root;"},
    ],
)
def test_what_would_not_mean_itself_is_refused(options):
    with pytest.raises(InputError, match="expected"):
        site(**options)


def test_systemd_takes_the_unit(tmp_path):
    unit = tmp_path / UNIT
    unit.write_text(render_files(site(user="root"))[UNIT])
    done = subprocess.run([program("systemd-analyze"), "verify", str(unit)], capture_output=True, text=True)
    assert done.returncode == 0 and str(unit) not in done.stderr, done.stderr
    assert f"ExecStart={sys.executable} -m clearml_hpo gateway run --port 8123 --hopaas\n" in unit.read_text()


# --- NGINX ---------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def nginx(folder: Path, port: int, rate: str = "") -> Iterator[tuple[str, Path]]:
    """NGINX with our file before a gateway; yields its address and the certificate."""
    folder.mkdir()
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [
            program("openssl"),
            *["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-keyout"],
            key,
            "-out",
            certificate,
            *subject,
        ],
        check=True,
        capture_output=True,
    )
    listen = free_port()
    made = site(server_name="localhost", port=port, certificate=certificate, key=key, listen=listen, logs=folder)
    (folder / NGINX).write_text(render_files(made)[NGINX].replace(f"listen {listen}", f"listen 127.0.0.1:{listen}"))
    if rate:
        text = (folder / NGINX).read_text()
        (folder / NGINX).write_text(re.sub(r"rate=\d+r/s", f"rate={rate}", text))
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"{user} pid {folder}/pid; error_log {folder}/main.log; daemon off; events {{}}"
        f"http {{ {temporary} access_log off; include {folder}/{NGINX}; }}"
    )
    line = [program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "main.log")]
    checked = subprocess.run([*line, "-t"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    running = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as connection:
                if connection.connect_ex(("127.0.0.1", listen)) == 0:
                    break
            time.sleep(0.05)
        yield f"https://localhost:{listen}", certificate
    finally:
        running.terminate()
        running.wait(20)


@pytest.fixture
def gateway(tmp_path) -> TestGateway:
    return TestGateway(tmp_path / "state")


def post(url: str, certificate: Path, token: str, call: str, body, **options) -> requests.Response:
    return requests.post(f"{url}/api/{call}/{token}", data=json.dumps(body), verify=str(certificate), **options)


def test_the_wire_goes_through_tls(gateway, tmp_path):
    token = gateway.token()
    with gateway.running() as inner, nginx(tmp_path / "nginx", int(inner.rpartition(":")[2])) as (url, certificate):
        answer = post(url, certificate, token, "ask", SET_UP, headers={"x-forwarded-for": "192.0.2.7"})
        assert answer.status_code == 200, answer.text
        assert answer.headers["strict-transport-security"]
        trial = answer.json()["hopaas_trial"]
        assert (
            post(url, certificate, token, "should_prune", {"hopaas_trial": trial, "loss": 1, "step": 0}).text == "false"
        )
        assert post(f"{url}//hopaas/", certificate, token, "ask", SET_UP).status_code == 200
        assert post(url, certificate, token, "ask", {"x": "x" * 2**20}).status_code == 413
        # each request of that client has a key of its own
        wires = {post(url, certificate, token, "ask", SET_UP).json()["hopaas_trial"] for _ in range(5)}
        assert len(wires) == 5
        again = [
            post(url, certificate, token, "ask", SET_UP, headers={"idempotency-key": "abc"}).json() for _ in range(2)
        ]
        assert again[0] == again[1]
        with gateway.database.read() as connection:
            from clearml_hpo.gateway.db import tokens

            assert tokens.listed(connection)[0].last_from == "127.0.0.1"
        # plain HTTP to this port is refused by NGINX itself
        assert requests.get(url.replace("https", "http") + "/healthz").status_code == 400


def test_no_log_of_nginx_has_a_secret(gateway, tmp_path, monkeypatch):
    made = gateway.new()
    token, secret = made.text.reveal(), made.text.secret
    folder = tmp_path / "nginx"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / "cert.pem"))
    with gateway.running() as inner, nginx(folder, int(inner.rpartition(":")[2])) as (url, certificate):
        every_route(url, token)
        for content in (
            f"GET /api/ask/{token}\r\n\r\n",
            f"POST /api/ask/{token} HTTP/9.9\r\nhost: a\r\n\r\n",
            f"POST /api/ask/{token} HTTP/1.1\r\n\r\n",
            f"GET /nothing/{token} HTTP/1.1\r\nhost: {token}\r\nreferer: https://a/api/ask/{token}\r\n\r\n",
            f"GET / HTTP/1.1\r\nhost: a\r\nuser-agent: {token}\r\n\r\n",
            f"POST /api/ask/{token} HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
            f"GET /api/ask/{token}/../../{token} HTTP/1.1\r\nhost: a\r\n\r\n",
        ):
            send(url, certificate, content.encode())
    # the gateway is away now
    with nginx(tmp_path / "nginx2", free_port()) as (url, certificate):
        assert post(url, certificate, token, "ask", SET_UP).status_code == 502
    text = (folder / "clearml-hpo-gateway.access.log").read_text()
    assert " POST /hopaas/api/ask/<token> 200 " in text and " <other> 404 " in text
    logs = [*folder.glob("*.log"), *(tmp_path / "nginx2").glob("*.log")]
    assert len(logs) == 6
    for part in (secret, secret[:16], secret[-16:]):
        assert [path for path in logs if part in path.read_text(errors="replace")] == []


def send(url: str, certificate: Path, content: bytes) -> None:
    context = ssl.create_default_context(cafile=str(certificate))
    port = int(url.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(content)
        connection.settimeout(0.3)
        try:
            while connection.recv(65536):
                pass
        except OSError:
            pass


def test_what_comes_too_fast_waits(gateway, tmp_path):
    """NGINX lets so many a second through, and has the others wait; none is refused."""
    token, count = gateway.token(), 150
    with (
        gateway.running() as inner,
        nginx(tmp_path / "nginx", int(inner.rpartition(":")[2]), "50r/s") as (url, certificate),
    ):

        def best(_: int) -> int:
            address = f"{url}/api/get_best_trial/{token}?hopaas_trial=a"
            return requests.get(address, verify=str(certificate)).status_code

        began = time.monotonic()
        with ThreadPoolExecutor(32) as pool:
            statuses = list(pool.map(best, range(count)))
        assert set(statuses) == {404}
        assert time.monotonic() - began > 2


@pytest.mark.long
@pytest.mark.skipif(not (CHECKOUT / "hopaas_client").is_dir(), reason="HOPAAS_CLIENT names no checkout")
def test_the_real_client_goes_through_tls(gateway, tmp_path):
    with gateway.running() as inner, nginx(tmp_path / "nginx", int(inner.rpartition(":")[2])) as (url, certificate):
        run_its_tests(tmp_path, url, gateway.token(), REQUESTS_CA_BUNDLE=str(certificate))
        run(tmp_path, url, gateway.token(), "-c", README, REQUESTS_CA_BUNDLE=str(certificate))
