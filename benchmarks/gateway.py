"""What the gateway bears: many workers over HTTP, and a study that is long.

    make bench-gateway
    python -m benchmarks.gateway --clients 200 --trials 10 --steps 5 --kill
    python -m benchmarks.gateway --clients 1 --trials 200 --sampler tpe

Prints JSON: requests and trials a second, median and 99th percentile of an ask, a report and an end in milliseconds,
errors, results that are missing, numbers that came twice, processor seconds of the gateway and of ClearML's server.
Gateway and embedded server are real; workers are threads of this process, so they take a share of the cores too.
``--alone`` has the same clients ask Optuna itself, one after the other, in memory: what the sampler costs by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.load import Connection, percentiles_ms
from benchmarks.place import Place, say, surroundings, temporary_place

PARAMETERS = 10
_SAMPLERS = {"random": "RandomSampler", "tpe": "TPESampler"}
_PROJECT = "clearml-hpo-outside"
_UP_S = 60.0
_AGAIN_S = 0.2
_SETTLE_S = 120.0


class Gateway:
    """``clearml-hpo gateway run --hopaas``, with its token."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "gateway.log"
        command = [sys.executable, "-m", "clearml_hpo", "gateway", "run", "--hopaas", "--port", "0"]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        until = time.monotonic() + _UP_S
        while "shown again" not in self.text and time.monotonic() < until:
            time.sleep(0.05)
        self.url = _found(r"gateway: (\S+)", self.text)

    @property
    def text(self) -> str:
        """What it has said."""
        return self._log.read_text(errors="replace")

    @property
    def serving(self) -> psutil.Process:
        """The process that serves now."""
        until = time.monotonic() + _UP_S
        while True:
            for child in psutil.Process(self.process.pid).children():
                if "clearml_hpo.gateway.process" in child.cmdline():
                    return child
            if time.monotonic() > until:
                raise RuntimeError(self.text)
            time.sleep(0.05)

    def tokens(self, count: int) -> list[str]:
        """So many, of one project: each may ask 200 times at once, and once a second then."""
        from clearml_hpo.gateway import state
        from clearml_hpo.gateway.auth import Kind, Rights, Tokens
        from clearml_hpo.gateway.db import accounts

        database = state.database()
        tokens, rights = Tokens(database, state.pepper()), Rights.parse(["worker"])
        with database.write() as connection:
            owner = accounts.ensure_user(connection, accounts.LOCAL, "bench", is_admin=True).id
            project = accounts.ensure_project(connection, _PROJECT).id
        made = [tokens.create(owner, project, kind=Kind.HOPAAS, name="bench", rights=rights) for _ in range(count)]
        database.close()
        return [each.text.reveal() for each in made]

    def end(self) -> None:
        """Ends it."""
        self.process.terminate()
        self.process.wait()


@contextmanager
def running(place: Place) -> Iterator[Gateway]:
    """A gateway."""
    gateway = Gateway(place.folder)
    try:
        yield gateway
    finally:
        gateway.end()


class Client:
    """One worker: asks, reports, tells; a cut connection is tried again, as through a proxy."""

    def __init__(self, gateway: Gateway, token: str, set_up: bytes, result: Result) -> None:
        self._gateway = gateway
        self._token = token
        self._set_up = set_up
        self._result = result
        self._connection: Connection | None = None
        self._key = 0

    def work(self, trials: int, steps: int) -> None:
        """Runs so many trials."""
        for _ in range(trials):
            given = json.loads(self._post("ask", self._set_up))
            trial, loss = given["hopaas_trial"], sum((given[f"x{i}"] - 0.3) ** 2 for i in range(PARAMETERS))
            self._result.given(trial)
            for step in range(1, steps + 1):
                body = {"hopaas_trial": trial, "step": step, "loss": loss + 1 / step}
                if json.loads(self._post("should_prune", json.dumps(body).encode())):
                    self._result.pruned(trial)
                    break
            else:
                self._post("tell", json.dumps({"hopaas_trial": trial, "loss": loss}).encode())
                self._result.told(trial, loss)

    def _post(self, route: str, body: bytes) -> bytes:
        self._key += 1
        key = f"{threading.get_ident()}-{self._key}"
        began = time.perf_counter()
        while True:
            try:
                if self._connection is None:
                    self._connection = Connection(self._gateway.url, f"x\r\nIdempotency-Key: {key}")
                else:
                    self._connection.authorization(f"x\r\nIdempotency-Key: {key}")
                answer = self._connection.post(f"/api/{route}/{self._token}", body)
            except OSError:
                self._lost()
            except RuntimeError as error:
                if "closed" not in str(error):
                    self._result.error(route, str(error))
                    raise
                self._lost()
            else:
                self._result.took(route, time.perf_counter() - began)
                return answer

    def _lost(self) -> None:
        self._connection = None
        self._result.cuts += 1
        time.sleep(_AGAIN_S)


class Result:
    """What all clients have seen."""

    def __init__(self) -> None:
        self.numbers: list[str] = []
        self.losses: dict[str, float] = {}
        self.ended: set[str] = set()
        self.cuts = 0
        self.errors: Counter[str] = Counter()
        self._waits: dict[str, list[float]] = {"ask": [], "should_prune": [], "tell": []}

    def given(self, trial: str) -> None:
        """It was handed out."""
        self.numbers.append(trial)

    def pruned(self, trial: str) -> None:
        """It was answered that it is to stop."""
        self.ended.add(trial)

    def told(self, trial: str, loss: float) -> None:
        """Its loss was taken."""
        self.losses[trial] = loss

    def error(self, route: str, text: str) -> None:
        """A request was refused."""
        self.errors[f"{route}: {text[-120:]}"] += 1

    def took(self, route: str, seconds: float) -> None:
        """A request was answered."""
        self._waits[route].append(seconds)

    def milliseconds(self) -> dict[str, Any]:
        """By route."""
        return {route: {"requests": len(found), **percentiles_ms(found)} for route, found in self._waits.items()}


def measure(place: Place, given: argparse.Namespace) -> dict[str, Any]:
    """The clients, all at once."""
    config = {"title": "bench", "direction": "minimize", "sampler": {"name": _SAMPLERS[given.sampler]}}
    config["pruner"] = {"name": "MedianPruner"} if given.prune else {"name": "NopPruner"}
    ranges = {f"x{i}": "optuna#uniform(0, 1)" for i in range(PARAMETERS)}
    set_up = json.dumps({"hopaas_config": config, **ranges}).encode()
    result = Result()
    with running(place) as gateway:
        first = gateway.serving
        server_pid = _server_pid()
        before = _busy_s(psutil.Process(server_pid))
        clients = [Client(gateway, token, set_up, result) for token in gateway.tokens(given.clients)]
        threads = [threading.Thread(target=each.work, args=(given.trials, given.steps)) for each in clients]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        cpu_s = 0.0
        if given.kill:
            for share in (1 / 3, 2 / 3):
                while len(result.losses) + len(result.ended) < share * given.clients * given.trials:
                    time.sleep(0.05)
                cpu_s += _busy_s(first)
                first.kill()
                say(f"killed at {len(result.losses) + len(result.ended)} trials")
                time.sleep(0.3)
                first = gateway.serving
        for thread in threads:
            thread.join()
        wall_s = time.perf_counter() - began
        cpu_s += _busy_s(first)
        server_s = _busy_s(psutil.Process(server_pid)) - before
        missing = _missing(result)
    done = len(result.losses) + len(result.ended)
    requests = sum(each["requests"] for each in result.milliseconds().values())
    return {
        "wall_s": round(wall_s, 1),
        "trials_per_s": round(done / wall_s, 1),
        "requests_per_s": round(requests / wall_s, 1),
        "ms": result.milliseconds(),
        "errors": dict(result.errors),
        "cut_connections": result.cuts,
        "twice": len(result.numbers) - len({*result.numbers}),
        "missing_results": missing,
        "gateway_cpu_ms_per_trial": round(cpu_s / done * 1000, 1),
        "server_cpu_ms_per_trial": round(server_s / done * 1000, 1),
    }


def _missing(result: Result) -> int:
    """How many losses that were answered are not in ClearML, once all has been written."""
    from clearml_hpo.studies.study import Study

    until = time.monotonic() + _SETTLE_S
    while True:
        (study,) = Study.list(project=_PROJECT, limit=1)
        values = {trial.number: trial.value for trial in study.trials}
        told = {int(trial.rpartition(":")[2]) % 1_000_000: loss for trial, loss in result.losses.items()}
        missing = sum(abs((values.get(n) or -1.0) - loss) > 1e-6 for n, loss in told.items())
        if not missing or time.monotonic() > until:
            return missing
        time.sleep(1.0)


def alone(given: argparse.Namespace) -> dict[str, Any]:
    """Optuna by itself, in memory, for as many trials."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=1) if given.sampler == "tpe" else optuna.samplers.RandomSampler(seed=1)
    study, waits = optuna.create_study(sampler=sampler), []
    for _ in range(given.clients * given.trials):
        began = time.perf_counter()
        trial = study.ask()
        values = [trial.suggest_float(f"x{i}", 0.0, 1.0) for i in range(PARAMETERS)]
        waits.append(time.perf_counter() - began)
        study.tell(trial, sum((value - 0.3) ** 2 for value in values))
    return {"ask": percentiles_ms(sorted(waits)), "last_100": percentiles_ms(sorted(waits[-100:]))}


def _server_pid() -> int:
    for child in psutil.Process(os.getpid()).children():
        if "server" in child.cmdline() and "run" in child.cmdline():
            return child.pid
    raise RuntimeError("no server runs")


def _busy_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(text)
    return found[1]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gateway", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--trials", type=int, default=10, help="of each client")
    parser.add_argument("--steps", type=int, default=5, help="reports of each trial")
    parser.add_argument("--sampler", choices=list(_SAMPLERS), default="random")
    parser.add_argument("--prune", action="store_true", help="with the median pruner")
    parser.add_argument("--kill", action="store_true", help="end the process that serves by -9, at a third and at two")
    parser.add_argument("--alone", action="store_true", help="Optuna by itself too")
    given = parser.parse_args()
    random.seed(1)
    result: dict[str, Any] = {"benchmark": "gateway", "settings": vars(given), **surroundings()}
    with temporary_place() as place:
        os.environ["CLEARML_HPO_HOME"] = str(place.folder / "hpo")
        result["gateway"] = measure(place, given)
    if given.alone:
        result["optuna"] = alone(given)
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
