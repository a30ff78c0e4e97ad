"""How fast the gateway answers: `hopaas_client`'s wire against `clearml-hpo gateway run`, with an embedded server.

    python -m benchmarks.gateway --trials 100 --clients 1 8 32 --seconds 20 --race 50

Prints JSON: milliseconds (median and 99th percentile) of each call by one client, TPE with 10 parameters; trials and
requests a second of many clients, whose trials report 5 steps; the first ask of one new study by many at once. As that
client does, each call has a connection of its own. PostgreSQL: CLEARML_HPO_GATEWAY_DATABASE, after `gateway migrate`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.load import percentiles_ms
from benchmarks.place import say, surroundings, temporary_place
from clearml_hpo.gateway.state import DATABASE
from clearml_hpo.machine import settings

_STARTS_S = 60.0
_STEPS = 5
_PARAMETERS = 10
_AGAIN_S = 0.2
_STORM_TRIALS = 10
_SETTLE_S = 120.0
_OF_AN_ATTEMPT = 1_000_000
_ALMOST = 1e-6


class Client:
    """One outside worker, and how long its calls took, in seconds by route."""

    def __init__(self, address: str, token: str, tls: ssl.SSLContext | None = None) -> None:
        self._address = address
        self._tls = tls
        self._token = token
        self.waits: dict[str, list[float]] = defaultdict(list)
        self.trials: list[str] = []
        self.losses: dict[str, float] = {}
        self.cuts = 0

    def insist(self, route: str, body: Mapping[str, Any]) -> Any:
        """As :meth:`call`, again with the same key where the connection is cut, as NGINX does."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        while True:
            try:
                return self.call(route, body, headers)
            except (OSError, http.client.HTTPException):
                self.cuts += 1
                time.sleep(_AGAIN_S)

    def call(self, route: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Any:
        """The answer, which must be 200."""
        began = time.perf_counter()
        connection = (
            http.client.HTTPSConnection(self._address, timeout=60, context=self._tls)
            if self._tls is not None
            else http.client.HTTPConnection(self._address, timeout=60)
        )
        try:
            connection.request("POST", f"/api/{route}/{self._token}", json.dumps(body), dict(headers or {}))
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{route}: {answer.status} {text[:300]!r}")
        self.waits[route].append(time.perf_counter() - began)
        return json.loads(text) if text else None

    def train(self, set_up: Mapping[str, Any], *, insists: bool = False) -> None:
        """One whole trial, or as much of it as the pruner lets it have."""
        call = self.insist if insists else self.call
        given = call("ask", set_up)
        trial = given["hopaas_trial"]
        self.trials.append(trial)
        loss = sum((given[f"x{index}"] - 0.3) ** 2 for index in range(_PARAMETERS))
        for step in range(_STEPS):
            if call("should_prune", {"hopaas_trial": trial, "step": step, "loss": loss + 1 / (step + 1)}):
                return
        call("tell", {"hopaas_trial": trial, "loss": loss})
        self.losses[trial] = loss


def set_up(title: str) -> dict[str, Any]:
    """TPE and a median pruner, 10 parameters."""
    config = {"title": title, "sampler": {"name": "TPESampler"}, "pruner": {"name": "MedianPruner"}}
    return {"hopaas_config": config, **{f"x{index}": "optuna#uniform(0,1)" for index in range(_PARAMETERS)}}


def token_texts(folder: Path, url: str, count: int, *, kind: str = "hopaas") -> list[str]:
    """A token for each client: one alone may report 50 times a second."""
    from clearml_hpo.gateway.auth import Kind, Rights, Tokens
    from clearml_hpo.gateway.auth.pepper import Pepper
    from clearml_hpo.gateway.db import Database, accounts

    home = folder / "gateway" / "gateway"
    database = Database(url or f"sqlite:///{home / 'gateway.sqlite3'}")
    tokens, rights = Tokens(database, Pepper.load(home / "pepper")), Rights.parse(["worker"])
    with database.write() as connection:
        owner = accounts.ensure_user(connection, accounts.LOCAL, "bench", is_admin=True).id
        project = accounts.ensure_project(connection, "clearml-hpo-outside").id
    made = [tokens.create(owner, project, kind=Kind[kind.upper()], name="bench", rights=rights) for _ in range(count)]
    database.close()
    return [each.text.reveal() for each in made]


@contextmanager
def gateway(folder: Path, variables: Mapping[str, str]) -> Iterator[tuple[str, Callable[[], psutil.Process]]]:
    """One that runs: its address, and what finds the process that serves."""
    log = folder / "gateway.log"
    environ = settings.child_environ(CLEARML_HPO_HOME=str(folder / "gateway"), **variables)
    command = [sys.executable, "-m", "clearml_hpo", "gateway", "run", "--hopaas", "--port", "0"]
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=subprocess.STDOUT)
    try:
        until = time.monotonic() + _STARTS_S
        while not re.search(r"shown again|^tokens: ", log.read_text(), re.MULTILINE):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(log.read_text())
            time.sleep(0.1)
        said = log.read_text()
        address = re.search(r"gateway: http://(\S+)", said)
        assert address

        def serving() -> psutil.Process:
            while not (children := psutil.Process(process.pid).children()):
                time.sleep(0.1)
            return children[0]

        yield address[1], serving
    finally:
        process.terminate()
        process.wait()


def alone(make: Callable[[], Client], trials: int, title: str = "alone") -> dict[str, Any]:
    """One client, one study."""
    client, body = make(), set_up(title)
    client.train(body)  # the study is opened by that
    client.waits.clear()
    for _ in range(trials):
        client.train(body)
    return {route: percentiles_ms(waits) for route, waits in client.waits.items()}


def together(make: Callable[[], Client], count: int, seconds: float, server: psutil.Process) -> dict[str, Any]:
    """Many clients, one study, for so many seconds."""
    clients, body, faults = [make() for _ in range(count)], set_up(f"together {count}"), list[str]()
    clients[0].train(body)

    def work(client: Client) -> None:
        try:
            while time.monotonic() < until:
                client.train(body)
        except (OSError, RuntimeError) as error:
            faults.append(str(error))

    for client in clients:
        client.waits.clear()
        client.trials.clear()
    began, busy = time.monotonic(), server.cpu_times()
    until = began + seconds
    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took, after = time.monotonic() - began, server.cpu_times()
    trials = [trial for client in clients for trial in client.trials]
    waits = {
        route: [wait for each in clients for wait in each.waits[route]] for route in ("ask", "should_prune", "tell")
    }
    requests = sum(map(len, waits.values()))
    return {
        "clients": count,
        "trials_per_s": round(len(trials) / took, 1),
        "requests_per_s": round(requests / took, 1),
        "cpu_ms_per_request": round(1000 * (after.user + after.system - busy.user - busy.system) / max(1, requests), 2),
        "faults": len(faults),
        "numbers_twice": len(trials) - len(set(trials)),
        **{route: percentiles_ms(found) for route, found in waits.items()},
    }


def race(make: Callable[[], Client], count: int) -> dict[str, Any]:
    """So many clients ask for the first trials of one new study at once."""
    clients, faults, body = [make() for _ in range(count)], list[str](), set_up("race")

    def ask(client: Client) -> None:
        try:
            client.trials.append(client.call("ask", body)["hopaas_trial"])
        except (OSError, RuntimeError) as error:
            faults.append(str(error))

    began = time.monotonic()
    threads = [threading.Thread(target=ask, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trials = {trial for client in clients for trial in client.trials}
    studies = {trial.partition(":")[0] for trial in trials}
    took = round(time.monotonic() - began, 2)
    return {"clients": count, "all_s": took, "studies": len(studies), "numbers": len(trials), "faults": len(faults)}


def storm(
    make: Callable[[], Client],
    count: int,
    trials: int,
    serving: Callable[[], psutil.Process],
    *,
    kills: int = 2,
    insists: bool = True,
) -> dict[str, Any]:
    """``count`` clients run ``trials`` trials each, while the process that serves is killed by -9 so many times.

    Without ``insists`` a connection that is cut is a fault: what is before the gateway asks it again.
    """
    clients, faults, body = [make() for _ in range(count)], list[str](), set_up("storm")

    def work(client: Client) -> None:
        try:
            for _ in range(trials):
                client.train(body, insists=insists)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            faults.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    back_s = []
    for number in range(1, kills + 1):
        share = number / (kills + 1)
        while sum(len(client.trials) for client in clients) < share * count * trials:
            if not any(thread.is_alive() for thread in threads):
                raise RuntimeError(f"all clients have ended: {faults[:3]}")
            time.sleep(0.05)
        serving().kill()
        killed, before = time.monotonic(), sum(len(client.trials) for client in clients)
        while sum(len(client.trials) for client in clients) == before and time.monotonic() - killed < _STARTS_S:
            time.sleep(0.05)
        back_s.append(round(time.monotonic() - killed, 1))
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    numbers = [trial for client in clients for trial in client.trials]
    losses = {trial: loss for client in clients for trial, loss in client.losses.items()}
    return {
        "clients": count,
        "trials": len(numbers),
        "trials_per_s": round(len(numbers) / took, 1),
        "ask": percentiles_ms([wait for client in clients for wait in client.waits["ask"]]),
        "back_s": back_s,
        "cut_connections": sum(client.cuts for client in clients),
        "faults": len(faults),
        "first_faults": faults[:3],
        "numbers_twice": len(numbers) - len({*numbers}),
        "results": len(losses),
        "missing_results": _missing(losses),
    }


def _missing(losses: Mapping[str, float]) -> int:
    """How many that were answered with 200 are not in ClearML, once all has been written."""
    from clearml_hpo.studies.study import Study

    told = {int(trial.rpartition(":")[2]) % _OF_AN_ATTEMPT: loss for trial, loss in losses.items()}
    until = time.monotonic() + _SETTLE_S
    while True:
        study = next(one for one in Study.list() if one.name.startswith("storm"))
        values = {trial.number: trial.value for trial in study.trials}
        missing = sum(abs((values.get(number) or -1.0) - loss) > _ALMOST for number, loss in told.items())
        if not missing or time.monotonic() > until:
            return missing
        time.sleep(1.0)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--race", type=int, default=50)
    parser.add_argument("--storm", type=int, default=32, help="clients of the part in which the gateway is killed")
    given = parser.parse_args()
    around = surroundings()
    url = os.environ.get(DATABASE, "")  # temporary_place forgets it
    kind = "postgresql" if url else "sqlite"
    with temporary_place() as place, gateway(place.folder, {DATABASE: url} if url else {}) as (address, serving):
        tokens = iter(token_texts(place.folder, url, given.race + sum(given.clients) + given.storm + 1))

        def make() -> Client:
            return Client(address, next(tokens))

        say(f"first ask of {given.race} at once")
        found: dict[str, Any] = {"race": race(make, given.race)}
        say(f"one client, {given.trials} trials")
        found["alone"] = alone(make, given.trials)
        found["together"] = []
        for count in given.clients:
            say(f"{count} clients, {given.seconds:g} s")
            found["together"].append(together(make, count, given.seconds, serving()))
        found["memory_mb"] = round(serving().memory_info().rss / 2**20)
        if given.storm:
            say(f"{given.storm} clients, and the gateway is killed twice")
            found["storm"] = storm(make, given.storm, _STORM_TRIALS, serving)
    print(json.dumps({"benchmark": "gateway", "database": kind, **vars(given), **found, **around}, indent=2))


if __name__ == "__main__":
    main()
