"""The gateway beside what does the same without it: Optuna's own database, and the search of ``run``.

    python -m benchmarks.gateway_peers --side rdb --postgresql postgresql://user:password@127.0.0.1/postgres
    python -m benchmarks.gateway_peers --side regret --seeds 20 --trials 60

Prints JSON. `rdb`: a study of 1,000 finished trials on each side, TPE, 10 parameters, both on the PostgreSQL of the
URL, where two databases are made and dropped. Trials a second of 32 clients that ask and tell over HTTP, and of 8
processes that call Optuna's ``study.ask`` and ``study.tell`` on its RDB storage. `regret`: 8 clients of the gateway,
whose trials take 0.3 s on average, and the same sampler with 8 workers as `bench-search` has it, by seed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import statistics
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks import search_quality
from benchmarks.gateway import Client, gateway, set_up, token_texts
from benchmarks.gateway_scale import first_ask, grow, train_two
from benchmarks.place import Place, say, surroundings, temporary_place
from benchmarks.search_problems import PROBLEMS
from clearml_hpo.search.space import Categorical, Distribution, Int

_CLIENTS, _PROCESSES, _WORKERS = 32, 8, 8
_PARAMETERS = 10
_FLAT = ("branin", "hartmann6", "mixed")
_TRIAL_S, _SPREAD = 0.3, 0.4
_RESAMPLES = 2000


def rdb(place: Place, given: argparse.Namespace) -> dict[str, Any]:
    """Trials a second over HTTP, and by a database alone."""
    with _databases(given.postgresql) as (ours, theirs):
        found = {"gateway": _by_gateway(place, ours, given), "optuna_rdb": _by_optuna(theirs, given)}
    return {**found, "ratio": round(found["gateway"]["trials_per_s"] / found["optuna_rdb"]["trials_per_s"], 2)}


def regret(place: Place, given: argparse.Namespace) -> dict[str, Any]:
    """What both find, by problem."""
    found = {}
    with gateway(place.folder, {}) as (address, _):
        (token,) = token_texts(place.folder, "", 1, kind="api")
        for name in given.problems:
            say(name)
            outside = [_searched(f"http://{address}", token, name, seed, given.trials) for seed in range(given.seeds)]
            jobs = [search_quality.Job(name, "tpe", seed, given.trials, _WORKERS) for seed in range(given.seeds)]
            inside = [search_quality.run(job).best(given.trials) for job in jobs]
            differences = [a - b for a, b in zip(outside, inside, strict=True)]
            found[name] = {
                "outside_median": round(statistics.median(outside) - (PROBLEMS[name].optimum or 0.0), 6),
                "inside_median": round(statistics.median(inside) - (PROBLEMS[name].optimum or 0.0), 6),
                "mean_difference": round(statistics.mean(differences), 6),
                "interval_95": [round(bound, 6) for bound in _interval(differences)],
            }
    return found


@contextmanager
def _databases(url: str) -> Iterator[tuple[str, str]]:
    """Two new databases of a PostgreSQL: their URLs."""
    import sqlalchemy as sa

    names = [f"bench_{uuid.uuid4().hex[:8]}" for _ in range(2)]
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in names:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        try:
            head = url.rpartition("/")[0]
            yield f"{head}/{names[0]}", f"{head}/{names[1]}"
        finally:
            for name in names:
                connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


def _by_gateway(place: Place, url: str, given: argparse.Namespace) -> dict[str, Any]:
    from clearml_hpo.gateway.db import Database

    database = Database(url)
    database.migrate()
    database.close()
    variables, title = {"CLEARML_HPO_GATEWAY_DATABASE": url}, "rdb"
    with gateway(place.folder, variables) as (address, _):
        tokens = iter(token_texts(place.folder, url, _CLIENTS + 1))
        train_two(Client(address, next(tokens)), title)
    grow(place, title, given.finished)
    with gateway(place.folder, variables) as (address, _):
        clients = [Client(address, next(tokens)) for _ in range(_CLIENTS)]
        first_ask(clients[0], title)
        until = time.monotonic() + given.seconds
        counts, faults = [0] * len(clients), list[str]()

        def work(index: int) -> None:
            client = clients[index]
            try:
                while time.monotonic() < until:
                    asked = client.call("ask", set_up(title))
                    client.call("tell", {"hopaas_trial": asked["hopaas_trial"], "loss": asked["x0"]})
                    counts[index] += 1
            except (OSError, RuntimeError) as error:
                faults.append(str(error))

        threads = [threading.Thread(target=work, args=(index,)) for index in range(len(clients))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return {"clients": _CLIENTS, "trials_per_s": round(sum(counts) / given.seconds, 1), "faults": len(faults)}


def _by_optuna(url: str, given: argparse.Namespace) -> dict[str, Any]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    axes = _axes()
    study = optuna.create_study(storage=_storage(url), study_name="rdb")
    draw = random.Random(1)
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={axis: draw.random() for axis in axes}, distributions=axes, value=draw.random()
            )
            for _ in range(given.finished)
        ]
    )
    context = multiprocessing.get_context("spawn")
    ready, counts = context.Barrier(_PROCESSES), context.Queue()
    processes = [
        context.Process(target=_optuna_worker, args=(url, given.seconds, ready, counts)) for _ in range(_PROCESSES)
    ]
    for process in processes:
        process.start()
    made = sum(counts.get(timeout=given.seconds + 300) for _ in processes)
    for process in processes:
        process.join()
    return {"processes": _PROCESSES, "trials_per_s": round(made / given.seconds, 1)}


def _axes() -> dict[str, Any]:
    import optuna

    return {f"x{index}": optuna.distributions.FloatDistribution(0.0, 1.0) for index in range(_PARAMETERS)}


def _storage(url: str) -> Any:
    import optuna

    return optuna.storages.RDBStorage(url.replace("postgresql:", "postgresql+psycopg:"))


def _optuna_worker(url: str, seconds: float, ready: Any, counts: Any) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    axes = _axes()
    study = optuna.load_study(study_name="rdb", storage=_storage(url), sampler=optuna.samplers.TPESampler())
    study.tell(trial := study.ask(axes), trial.params["x0"])  # it has read all trials then
    ready.wait(300)
    made, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        trial = study.ask(axes)
        study.tell(trial, trial.params["x0"])
        made += 1
    counts.put(made)


def _searched(url: str, token: str, name: str, seed: int, trials: int) -> float:
    """The best value that 8 clients find in one study."""
    from clearml_hpo import RemoteStudy

    space = {axis: _as_yaml(found) for axis, found in PROBLEMS[name].space.distributions.items()}
    file = {
        "search_space": space,
        "objective": {"metric": "validation/loss", "direction": "minimize"},
        "sampler": {"name": "tpe", "seed": seed},
        "budget": {"trials": trials},
    }
    made = RemoteStudy(url, f"{name} {seed}", file, token=token)
    values, lock, draw = list[float](), threading.Lock(), random.Random(seed)

    def work() -> None:
        for trial in RemoteStudy(url, made.name, file, token=token).trials():
            with trial:
                value = PROBLEMS[name].value(trial.params)
                with lock:
                    lasts = _TRIAL_S * draw.lognormvariate(0.0, _SPREAD)
                    values.append(value)
                time.sleep(lasts)
                trial.complete(loss=value)

    threads = [threading.Thread(target=work) for _ in range(_WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(values) != trials:
        raise RuntimeError(f"{name} {seed}: {len(values)} trials of {trials}")
    return min(values)


def _as_yaml(found: Distribution) -> dict[str, Any]:
    """A parameter as a study file has it."""
    if isinstance(found, Categorical):
        return {"type": "categorical", "choices": [*found.choices]}
    kind = "int" if isinstance(found, Int) else "float"
    return {"type": kind, "low": found.low, "high": found.high, "log": found.log}


def _interval(differences: Sequence[float]) -> tuple[float, float]:
    """Of the mean, 95 %, by bootstrap."""
    draw = random.Random(0)
    means = sorted(statistics.mean(draw.choices(differences, k=len(differences))) for _ in range(_RESAMPLES))
    return means[int(0.025 * _RESAMPLES)], means[int(0.975 * _RESAMPLES)]


_SIDES = {"rdb": rdb, "regret": regret}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", choices=[*_SIDES], nargs="+", default=["regret"])
    parser.add_argument("--postgresql", metavar="URL", help="for `rdb`: a server on which databases may be made")
    parser.add_argument("--finished", type=int, default=1000, help="trials of each study, in `rdb`")
    parser.add_argument("--seconds", type=float, default=15.0, help="in `rdb`")
    parser.add_argument("--problems", nargs="+", choices=_FLAT, default=_FLAT, help="in `regret`")
    parser.add_argument("--seeds", type=int, default=20, help="in `regret`")
    parser.add_argument("--trials", type=int, default=60, help="of each study, in `regret`")
    given = parser.parse_args()
    if "rdb" in given.side and not given.postgresql:
        parser.error("--side rdb needs --postgresql URL")
    found, around = {}, surroundings()
    for side in given.side:
        with temporary_place() as place:
            found[side] = _SIDES[side](place, given)
    shown = {key: value for key, value in vars(given).items() if key != "postgresql"}  # it has a password
    print(json.dumps({"benchmark": "gateway_peers", **shown, **found, **around}, indent=2))


if __name__ == "__main__":
    main()
