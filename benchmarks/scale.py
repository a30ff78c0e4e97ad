"""A study of very many trials on very many Dask workers: calls a second, processor time, memory, time of an ask.

    python -m benchmarks.scale
    python -m benchmarks.scale --workers 100 --train-s 5 --seconds 60 --part study

``study``: a real server, ``dask scheduler`` and ``clearml-hpo run``. The workers (``scale_workers.py``) make the calls
of real ones and train nothing. The figures are of the time after the first wave of trials, until all have ended or the
time is up. ``asks``: how long the sampler thinks after so many trials, without a server.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks import wire
from benchmarks.place import PROJECT, Place, make_template, run_timed, say, surroundings, temporary_place
from benchmarks.warm_trials import Program, free_address, running
from clearml_hpo.server.state import DataDir

if TYPE_CHECKING:
    from clearml_hpo.backend.api import Api

HERE = Path(__file__).parent
_SAMPLE_S = 5.0
_ASKS = 5
STUDY = f"""\
study: scale
project: {PROJECT}
template: {{{{task: {{template}}}}}}
search_space:
  General/x: {{{{type: float, low: 0.0, high: 1.0}}}}
  General/depth: {{{{type: int, low: 2, high: 8}}}}
objective: {{{{metric: validation/loss, direction: minimize}}}}
sampler: {{{{name: {{sampler}}, seed: 1}}}}
budget: {{{{trials: {{trials}}}}}}
execution: {{{{executor: dask, dask: {{{{address: '{{address}}'}}}}, poll_interval: {{poll_s}}}}}}
"""


@dataclass(frozen=True)
class Sample:
    """Where the study stands.

    Attributes:
        cpu_s: processor seconds so far, by process.
        calls: so far, by who makes them.
    """

    at: float
    ended: int
    cpu_s: Mapping[str, float]
    peak_mb: Mapping[str, float]
    calls: Mapping[str, Counter[str]]


class Watch:
    """Samples of the processes of a study, by their names."""

    def __init__(self, pids: Mapping[str, int], logs: Mapping[str, Path]) -> None:
        """``logs`` are those of ``wire``; the calls of the workers tell how many trials have ended."""
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._logs = logs

    def look(self) -> Sample:
        """One more sample."""
        calls = {name: wire.read(log) for name, log in self._logs.items()}
        times = {name: process.cpu_times() for name, process in self._processes.items()}
        return Sample(
            time.monotonic(),
            calls["workers"]["tasks.completed"],
            {name: each.user + each.system for name, each in times.items()},
            {name: _peak_mb(process.pid) for name, process in self._processes.items()},
            calls,
        )


def _peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024, 1)


def study(place: Place, api: Api, given: argparse.Namespace) -> dict[str, Any]:
    """Figures of one study."""
    folder, address = place.folder / "scale", free_address()
    folder.mkdir()
    values = {"sampler": given.sampler, "trials": given.trials, "poll_s": given.poll_s}
    (folder / "study.yaml").write_text(STUDY.format(template=make_template(api), address=address, **values))
    logs = {name: folder / f"{name}.calls" for name in ("controller", "workers")}
    command = [sys.executable, str(HERE / "wire.py"), str(logs["controller"])]
    with cluster(place, address, given.workers, given.train_s, logs["workers"]) as pids, ThreadPoolExecutor(1) as pool:
        done = pool.submit(
            run_timed,
            [*command, "-m", "clearml_hpo", "run", str(folder / "study.yaml")],
            folder / "output.log",
            given.seconds,
        )
        controller = _pid_with(str(logs["controller"]))
        watch = Watch({"controller": controller, "server": _server_pid(place), **pids}, logs)
        samples = list(_samples(watch, done.done))
        ran = done.result()
    if ran.code:
        say((folder / "output.log").read_text(errors="replace")[-3000:])
    return {"outcome": "out of time" if ran.code is None else f"exit status {ran.code}", **figures(samples, given)}


@contextmanager
def cluster(place: Place, address: str, workers: int, train_s: float, log: Path) -> Iterator[Mapping[str, int]]:
    """A scheduler and workers; their pids."""
    where = ["--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard"]
    scheduler = Program(place, "scale-scheduler", ["distributed.cli.dask_scheduler", *where])
    with running([scheduler]):
        scheduler.until_said("Scheduler at")
        words = ["benchmarks.wire", str(log), "-m", "benchmarks.scale_workers", address, str(workers), str(train_s)]
        crowd = Program(place, "scale-workers", words)
        with running([crowd]):
            crowd.until_said("all are there")
            yield {"scheduler": scheduler.pid, "workers": crowd.pid}


def _pid_with(word: str) -> int:
    while True:
        for process in psutil.Process().children():
            if word in " ".join(process.cmdline()):
                return process.pid
        time.sleep(_SAMPLE_S / 50)


def _server_pid(place: Place) -> int:
    listening = DataDir(place.folder / "server").listening()
    assert listening is not None
    return listening.pid


def _samples(watch: Watch, is_over: Any) -> Iterator[Sample]:
    while not is_over():
        try:
            yield watch.look()
        except (psutil.Error, OSError, StopIteration):
            return  # the controller has just ended
        time.sleep(_SAMPLE_S)


def figures(samples: Sequence[Sample], given: argparse.Namespace) -> dict[str, Any]:
    """What is said of a study: of the time between the first wave and the last sample."""
    first = next((one for one in samples if one.ended >= given.workers), samples[0])
    last = samples[-1]
    ended, seconds = last.ended - first.ended, max(last.at - first.at, 1e-9)
    cpu = {name: last.cpu_s[name] - first.cpu_s[name] for name in last.cpu_s}
    return {
        "trials": last.ended,
        "seconds": round(last.at - samples[0].at),
        "trials_per_s": round(ended / seconds, 2),
        "share_of_ideal": round(ended / seconds * given.train_s / given.workers, 3),
        "calls_per_s": {name: _rates(last.calls[name] - first.calls[name], seconds) for name in last.calls},
        "cores": {name: round(each / seconds, 2) for name, each in cpu.items()},
        "cpu_ms_per_trial": {name: round(1000 * each / ended, 1) if ended else None for name, each in cpu.items()},
        "peak_mb": last.peak_mb,
        "course": [_stretch(a, b) for a, b in zip(samples[::12], samples[12::12], strict=False)],
    }


def _rates(calls: Counter[str], seconds: float) -> dict[str, float]:
    most = {endpoint: round(count / seconds, 2) for endpoint, count in calls.most_common(8)}
    return {"in all": round(calls.total() / seconds, 1), **most}


def _stretch(before: Sample, after: Sample) -> dict[str, Any]:
    seconds, ended = after.at - before.at, after.ended - before.ended
    cores = {name: round((after.cpu_s[name] - before.cpu_s[name]) / seconds, 2) for name in after.cpu_s}
    return {"after_trials": after.ended, "trials_per_s": round(ended / seconds, 2), "cores": cores}


def asks(sampler: str, counts: Sequence[int], workers: int) -> dict[str, float]:
    """Median seconds of an ask after so many ended trials, while as many run as there are workers."""
    import optuna

    from clearml_hpo.core.goal import Goal, Objective
    from clearml_hpo.search.learner import OptunaStudy
    from clearml_hpo.search.samplers import build_sampler
    from clearml_hpo.search.space import Categorical, Float, Int, SearchSpace

    space = SearchSpace(
        {
            **{f"x{i}": Float(0.0, 1.0) for i in range(4)},
            **{f"n{i}": Int(1, 100) for i in range(2)},
            "kind": Categorical(("a", "b", "c")),
        }
    )
    goal = Goal((Objective("validation", "loss"),))
    made = build_sampler(sampler, seed=1, space=space, goal=goal, trials=max(counts))
    learner = OptunaStudy(space, ["minimize"], sampler=made)
    at_random = optuna.samplers.RandomSampler(seed=1)
    drawing = OptunaStudy(space, ["minimize"], sampler=at_random)
    found, number = {}, 0
    for count in counts:
        while number < count + workers:
            params = drawing.ask(number)
            drawing.fail(number)
            learner.add(number, params)
            if number < count:
                learner.complete(number, [sum(float(params[f"x{i}"]) for i in range(4))])
            number += 1
        found[str(count)] = round(statistics.median(_timed(learner, number + i) for i in range(_ASKS)), 4)
        for running_number in range(count, number):
            learner.complete(running_number, [2.0])
        number += _ASKS
    return found


def _timed(learner: Any, number: int) -> float:
    began = time.perf_counter()
    learner.ask(number)
    return time.perf_counter() - began


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="A study of very many trials on very many Dask workers, as JSON.")
    parser.add_argument("--part", action="append", choices=("study", "asks"), help="may be repeated")
    parser.add_argument("--workers", type=int, default=500)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--train-s", type=float, default=30.0, help="of a trial")
    parser.add_argument("--seconds", type=float, default=540.0, help="after which the study is ended")
    parser.add_argument("--poll-s", type=float, default=5.0, help="poll period of the controller")
    parser.add_argument("--sampler", default="random", help="of the study")
    given = parser.parse_args()
    parts = given.part or ["asks", "study"]
    result: dict[str, Any] = {"benchmark": "scale", "settings": vars(given), **surroundings()}
    if "asks" in parts:
        say("asks ...")
        counts = [count for count in (100, 1000, 10_000) if count <= given.trials]
        result["ask_s"] = {sampler: asks(sampler, counts, given.workers) for sampler in ("tpe", "random")}
    if "study" in parts:
        with temporary_place() as place:
            from clearml_hpo.backend.api import Api

            say("study ...")
            result["study"] = study(place, Api(), given)
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
