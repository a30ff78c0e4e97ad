"""The gateway with much behind it: long studies, many studies, many clients behind NGINX with TLS.

    python -m benchmarks.gateway_scale --side long --trials 5000
    python -m benchmarks.gateway_scale --side many --studies 100 --trials 100
    python -m benchmarks.gateway_scale --side tls --clients 200

Prints JSON. `long`: seconds until a study of so many finished trials is open, milliseconds of a call, of 50 live trials
that report, and of the page of the study that asks for what is new. `many`: memory with so many open studies, seconds
until they are let go of. `tls`: clients with a connection for each call, ten trials of five reports each, with `--kill`
while the process that serves is killed twice. Finished trials are copies of two that were run, with random points.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from benchmarks.controller import multiply
from benchmarks.gateway import Client, alone, gateway, set_up, storm, token_texts
from benchmarks.load import percentiles_ms
from benchmarks.place import Place, say, surroundings, temporary_place

_PARAMETERS = [f"x{index}" for index in range(10)]
_REPORTS = 5
_POLLS = 30
_POLL_S = 1.0
_OPENS_S = 300.0
_SETTLES_S = 120.0


def long(place: Place, given: argparse.Namespace) -> dict[str, Any]:
    """One study of many finished trials."""
    title, count = "long", given.live + 2
    with gateway(place.folder, {}) as (address, _):
        tokens = iter(token_texts(place.folder, "", count + 1))
        train_two(Client(address, next(tokens)), title)
    study = grow(place, title, given.trials)
    with gateway(place.folder, {}) as (address, serving):

        def make() -> Client:
            return Client(address, next(tokens))

        opened_s = first_ask(make(), title)
        say(f"{given.calls} trials of one client")
        calls = alone(make, given.calls, title)
        say(f"{given.live} live trials")
        live = [make() for _ in range(given.live)]
        trials = [client.call("ask", set_up(title))["hopaas_trial"] for client in live]
        for step in range(_REPORTS):
            for client, trial in zip(live, trials, strict=True):
                client.call("should_prune", {"hopaas_trial": trial, "step": step, "loss": 1 / (step + 1)})
        waits = [wait for client in live for wait in client.waits["should_prune"]]
        return {
            "finished": given.trials,
            "opened_s": round(opened_s, 2),
            **calls,
            "live": given.live,
            "should_prune_live": percentiles_ms(waits),
            "poll": _poll(place.folder, address, study, live, trials),
            "memory_mb": round(serving().memory_info().rss / 2**20),
        }


def many(place: Place, given: argparse.Namespace) -> dict[str, Any]:
    """Many open studies, and the end of a gateway that has them."""
    titles = [f"many {number}" for number in range(given.studies)]
    with gateway(place.folder, {}) as (address, _):
        tokens = iter(token_texts(place.folder, "", 2 * len(titles)))
        for title in titles:
            train_two(Client(address, next(tokens)), title, settles=False)
    for title in titles:
        grow(place, title, given.trials)
    began = 0.0
    with gateway(place.folder, {}) as (address, serving):
        before = serving().memory_info().rss
        opened = [first_ask(Client(address, next(tokens)), title) for title in titles]
        found = {
            "studies": given.studies,
            "trials_of_each": given.trials,
            "opened_s": {"mean": round(sum(opened) / len(opened), 2), "worst": round(max(opened), 2)},
            "memory_mb": {"before": round(before / 2**20), "with_all_open": round(serving().memory_info().rss / 2**20)},
        }
        began = time.monotonic()
    return {**found, "ended_s": round(time.monotonic() - began, 1)}


def tls(place: Place, given: argparse.Namespace) -> dict[str, Any]:
    """Many clients behind NGINX."""
    with gateway(place.folder, {}) as (address, serving), _nginx(place.folder, address) as (behind, context):
        tokens = iter(token_texts(place.folder, "", given.clients))
        made = storm(
            lambda: Client(behind, next(tokens), context),
            given.clients,
            given.trials_each,
            serving,
            kills=2 if given.kill else 0,
            insists=False,
        )
        return {**made, "memory_mb": round(serving().memory_info().rss / 2**20)}


def train_two(client: Client, title: str, *, settles: bool = True) -> None:
    """Makes a study of two finished trials; ``settles``: waits until ClearML's server knows of both."""
    for _ in range(2):
        client.train(set_up(title))
    until = time.monotonic() + _SETTLES_S
    while settles and time.monotonic() < until and len(_settled(title)) < 2:
        time.sleep(0.5)


def _settled(title: str) -> Sequence[Any]:
    from clearml_hpo.studies.study import Study

    found = next(study for study in Study.list() if study.name.startswith(f"{title}-"))
    return [trial for trial in found.trials if not trial.state.is_live]


def grow(place: Place, title: str, trials: int) -> str:
    """Makes a study, which no gateway has now, one of many finished trials; the id of its task."""
    source = next(trial for trial in _settled(title) if trial.value is not None)
    return multiply(place.folder / "server" / "store.sqlite3", source.task_id, trials, _PARAMETERS)


def first_ask(client: Client, title: str) -> float:
    """Seconds until a study that is not open gives a trial."""
    began = time.monotonic()
    while True:
        try:
            client.call("ask", set_up(title))
            return time.monotonic() - began
        except RuntimeError:  # not open after 30 s
            if time.monotonic() - began > _OPENS_S:
                raise


def _poll(folder: Path, address: str, study: str, live: Sequence[Client], trials: Sequence[str]) -> dict[str, Any]:
    """What the page of a study asks for, while all live trials report."""
    link = re.findall(r"within ten minutes: (\S+)", (folder / "gateway.log").read_text())[-1]
    browser = requests.Session()
    key = re.search(r'name="key" value="([^"]+)"', browser.get(link, timeout=60).text)
    assert key
    browser.post(f"http://{address}/login", {"key": key[1]}, headers={"origin": f"http://{address}"}, timeout=60)
    page = f"http://{address}/studies/{study}/changes"
    answer = browser.get(page, timeout=60)
    answer.raise_for_status()
    version, waits, sizes = answer.json()["version"], list[float](), list[int]()
    for poll in range(_POLLS):
        for client, trial in zip(live, trials, strict=True):
            client.call("should_prune", {"hopaas_trial": trial, "step": _REPORTS + poll, "loss": 0.01})
        time.sleep(_POLL_S)
        began = time.perf_counter()
        answer = browser.get(f"{page}?since={version}", timeout=60)
        waits.append(time.perf_counter() - began)
        sizes.append(len(gzip.compress(answer.content)))
        version = answer.json()["version"]
    return {**percentiles_ms(waits), "worst_kib_gzipped": round(max(sizes) / 1024, 1)}


@contextmanager
def _nginx(folder: Path, address: str) -> Iterator[tuple[str, ssl.SSLContext]]:
    """NGINX with the file that ``gateway install`` writes; its address, and what trusts its certificate."""
    from clearml_hpo.gateway.install import NGINX, Site, render_files

    own = folder / "nginx"
    own.mkdir()
    certificate, key, listen = own / "cert.pem", own / "key.pem", _free_port()
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost "
        f"-keyout {key} -out {certificate}".split(),
        check=True,
        capture_output=True,
    )
    port = int(address.rpartition(":")[2])
    site = Site(server_name="localhost", port=port, certificate=certificate, key=key, listen=listen, logs=own)
    (own / NGINX).write_text(render_files(site)[NGINX].replace(f"listen {listen}", f"listen 127.0.0.1:{listen}"))
    temporary = "".join(
        f"{kind}_temp_path {own}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (own / "nginx.conf").write_text(
        f"{user} pid {own}/pid; error_log {own}/main.log; daemon off; worker_processes auto; "
        f"events {{ worker_connections 2048; }} http {{ {temporary} access_log off; include {own}/{NGINX}; }}"
    )
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    running = subprocess.Popen([program, "-p", str(own), "-c", str(own / "nginx.conf"), "-e", str(own / "main.log")])
    try:
        yield f"localhost:{listen}", ssl.create_default_context(cafile=str(certificate))
    finally:
        running.terminate()
        running.wait(20)


def _free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


_SIDES: dict[str, Callable[[Place, argparse.Namespace], dict[str, Any]]] = {"long": long, "many": many, "tls": tls}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", choices=[*_SIDES], nargs="+", default=[*_SIDES])
    parser.add_argument("--trials", type=int, default=1000, help="finished ones of each study, in `long` and `many`")
    parser.add_argument("--calls", type=int, default=50, help="trials of one client, in `long`")
    parser.add_argument("--live", type=int, default=50, help="live trials, in `long`")
    parser.add_argument("--studies", type=int, default=75, help="in `many`")
    parser.add_argument("--clients", type=int, default=200, help="in `tls`")
    parser.add_argument("--trials-each", type=int, default=10, help="in `tls`")
    parser.add_argument("--kill", action="store_true", help="in `tls`: kill the process that serves twice")
    given = parser.parse_args()
    found: dict[str, Any] = {}
    around = surroundings()
    for side in given.side:
        say(side)
        with temporary_place() as place:
            found[side] = _SIDES[side](place, given)
    print(json.dumps({"benchmark": "gateway_scale", **vars(given), **found, **around}, indent=2))


if __name__ == "__main__":
    main()
