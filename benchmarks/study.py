"""The best value over wall time, as a user sees it: ours, ClearML's optimizer, Optuna alone, Ray Tune.

    make bench-study
    python -m benchmarks.study --minutes 3 --seeds 2 --side ours --side stock
    python -m benchmarks.study --runs runs.jsonl   # again with the same file: makes the runs that it has not
    python -m benchmarks.study --ray-python /path/to/python --plot docs/images/study.svg

All sides have the same training (``boosting.py``), search space, machine, two slots and wall time, one after the other;
with each seed another side is first.

- ``ours``: ``clearml-hpo run study.yaml --local --cpu 2``, with its defaults. ``ours-unpruned``: the same with
  ``pruner: none``.
- ``stock``: ClearML's ``HyperParameterOptimizer`` with ``OptimizerOptuna`` and two ``clearml-agent daemon``, all
  defaults; one of these is that it looks every two minutes whether a trial has ended. ``stock-12s``: the same with the
  12 s of the example in ClearML's documentation.
- ``optuna``: two processes on one SQLite storage, its defaults: TPE and the median pruner.
- ``ray``: Ray Tune with ASHA, if this Python or ``--ray-python`` has it.

Time counts from the start of the command. What a user has running before is not counted on any side: the embedded
server, the template's task, agents that look into their queue, Optuna's empty storage. A value counts when a training
has ended with it; what a pruner has ended has none. The trainings write down when that is, alike on all sides.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.boosting import LOG, PARAMETERS, SPACE
from benchmarks.place import Place, make_template, run_timed, say, surroundings, temporary_place, variables
from benchmarks.study_plot import Band, draw
from benchmarks.trial_overhead import plain_agent
from clearml_hpo.fleet.logtail import LogTail
from clearml_hpo.server.state import DataDir

HERE = Path(__file__).parent
SLOTS = 2
EXAMPLE_POLL_S = 12
"""``pool_period_min=0.2`` of the example in the documentation of ``HyperParameterOptimizer``, in seconds."""
SHARES = (0.1, 0.25, 0.5, 0.9, 1.0)
"""Of the wall time, at which sides are compared."""
_MANY = 100_000  # trials: more than there is time for
_START_S = 120.0  # for agents to look into their queue
_LOOK_S = 0.1
_END_S = 20.0  # for what was killed
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_ROW = "{:>4}  {:<12} {:>11} {:>11} {:>8} {:>9} {:>6} {:>5}  {}"

Curve = Sequence[tuple[float, float]]
"""Seconds since the command was started, and the best value from then on."""


@dataclass(frozen=True)
class Job:
    """One run of one side: a folder and a name of its own, the common template."""

    place: Place
    name: str
    template: str
    seed: int
    wall_s: float
    ray_python: str

    @property
    def folder(self) -> Path:
        """Whatever it writes."""
        return self.place.folder / self.name


def ours(pruner: str) -> Callable[[Job], AbstractContextManager[Sequence[str]]]:
    """A study file, nothing in it that need not be but the pruner, if one is given."""

    @contextmanager
    def side(job: Job) -> Iterator[Sequence[str]]:
        file = job.folder / "study.yaml"
        file.write_text(study_file(job.name, job.template, job.seed, job.wall_s, pruner))
        with variables({"CLEARML_HPO_HOME": str(job.place.folder)}):  # where --local finds the server
            yield [sys.executable, "-m", "clearml_hpo", "run", str(file), "--local", "--cpu", str(SLOTS)]

    return side


def study_file(name: str, template: str, seed: int, wall_s: float, pruner: str = "") -> str:
    """The study, as YAML; its limit is the time alone."""
    axes = "".join(
        f"  General/{param}: {{type: {type(PARAMETERS[param]).__name__}, low: {low}, high: {high}"
        f"{', log: true' if log else ''}}}\n"
        for param, (low, high, log) in SPACE.items()
    )
    return (
        f"study: {name}\nproject: benchmarks\ntemplate: {{task: '{template}'}}\nsearch_space:\n{axes}"
        f"objective: {{metric: validation/loss, direction: minimize}}\nsampler: {{seed: {seed}}}\n"
        f"{pruner and f'pruner: {pruner}'}\nbudget: {{time: {wall_s:g}s}}\n"
    )


def stock(poll_s: str) -> Callable[[Job], AbstractContextManager[Sequence[str]]]:
    """ClearML's usual script, and two agents that are up."""

    @contextmanager
    def side(job: Job) -> Iterator[Sequence[str]]:
        from clearml_hpo.backend.api import Api

        Api().call("queues.create", name=job.name)  # two agents at once would both try
        # A copy outside any repository, so that the SDK does not look for changes to send along.
        copy = str(shutil.copy(HERE / "optimizer_script.py", job.folder))
        classes = ["clearml.automation.HyperParameterOptimizer", "clearml.automation.optuna.OptimizerOptuna"]
        options = [str(_MANY), poll_s, str(SLOTS), json.dumps(clearml_ranges())]
        with ExitStack() as stack:
            agents = [stack.enter_context(plain_agent(job.place, job.name, f"{job.name}-{i}")) for i in range(SLOTS)]
            for agent in agents:
                _until_idle(LogTail(agent.log))
            yield [sys.executable, copy, *classes, job.template, job.name, *options]

    return side


def clearml_ranges() -> list[tuple[str, Mapping[str, Any]]]:
    """The search space as classes of ``clearml.automation``, which take logarithms of the ends of a range."""
    found: list[tuple[str, Mapping[str, Any]]] = []
    for param, (low, high, log) in SPACE.items():
        kind = "Integer" if isinstance(PARAMETERS[param], int) else ""
        ends = (math.log10(low), math.log10(high)) if log else (low, high)
        name = f"{'Log' if log else ''}Uniform{kind}ParameterRange"
        found.append((name, {"name": f"General/{param}", "min_value": ends[0], "max_value": ends[1]}))
    return found


@contextmanager
def optuna(job: Job) -> Iterator[Sequence[str]]:
    """Two processes on one storage."""
    import optuna as library

    storage = f"sqlite:///{job.folder}/study.db"
    library.create_study(study_name="bench", storage=storage, direction="minimize")
    command = f"{sys.executable} -m benchmarks.study_optuna {storage}"
    yield ["sh", "-c", "".join(f"{command} {SLOTS * job.seed + i} & " for i in range(SLOTS)) + "wait"]


@contextmanager
def ray(job: Job) -> Iterator[Sequence[str]]:
    """Ray Tune."""
    options = [str(SLOTS), f"{job.wall_s:g}", str(job.seed), str(job.folder)]
    yield [job.ray_python, "-m", "benchmarks.study_ray", *options]


SIDES: Mapping[str, Callable[[Job], AbstractContextManager[Sequence[str]]]] = {
    "ours": ours(""),
    "ours-unpruned": ours("none"),
    "stock": stock("default"),
    "stock-12s": stock(str(EXAMPLE_POLL_S)),
    "optuna": optuna,
    "ray": ray,
}


def measure(side: str, job: Job) -> dict[str, Any]:
    """One run of one side."""
    job.folder.mkdir()
    log, output = job.folder / "trainings.jsonl", job.folder / "output.log"
    log.touch()
    server = DataDir(job.place.folder / "server").listening()
    assert server is not None
    try:
        with variables({LOG: str(log), "PYTHONPATH": str(HERE.parent)}), SIDES[side](job) as command:
            began, spent_s = time.time(), cpu_s(server.pid)
            ran = run_timed(command, output, job.wall_s)
            load = round(os.getloadavg()[0], 1)
    finally:
        end_all_but(server.pid)
    if ran.code:
        say(output.read_text(errors="replace")[-3000:])
    beside = {"cpu_s": round(cpu_s(server.pid) - spent_s, 1), "load_after": load}
    return {**figures(log.read_text().splitlines(), began, job.wall_s), **beside}


def cpu_s(server: int) -> float:
    """Processor seconds of the server, by its pid, and of all processes that have ended below this one."""
    of_server, ended = psutil.Process(server).cpu_times(), resource.getrusage(resource.RUSAGE_CHILDREN)
    return float(of_server.user + of_server.system + ended.ru_utime + ended.ru_stime)


def end_all_but(server: int) -> None:
    """Returns when nothing but the server is left below this process; kills what does not end by itself."""
    deadline = time.monotonic() + _END_S
    while left := [child for child in psutil.Process().children() if child.pid != server]:
        for child in left:
            with suppress(ChildProcessError, ProcessLookupError):
                if not os.waitpid(child.pid, os.WNOHANG)[0] and time.monotonic() > deadline:
                    os.kill(child.pid, signal.SIGKILL)
        time.sleep(_LOOK_S / 10)


def _adopt() -> None:
    """Makes this process the parent of what its descendants leave behind when they are killed (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def figures(lines: Sequence[str], began: float, wall_s: float) -> dict[str, Any]:
    """What the trainings' log says; what is later than the wall time does not count."""
    noted = [json.loads(line) for line in lines]
    at: dict[str, list[tuple[float, float]]] = {"start": [], "end": []}
    for note in sorted(noted, key=lambda note: note["at"]):
        if note["at"] - began <= wall_s:
            at[note["what"]].append((round(note["at"] - began, 2), note["loss"]))
    curve: list[tuple[float, float]] = []
    for seconds, loss in at["end"]:
        if not curve or loss < curve[-1][1]:
            curve.append((seconds, round(loss, 6)))
    return {
        "started": len(at["start"]),
        "completed": len(at["end"]),
        "first_start_s": at["start"][0][0] if at["start"] else None,
        "first_value_s": curve[0][0] if curve else None,
        "best": curve[-1][1] if curve else None,
        "curve": curve,
    }


def best_at(curve: Curve, seconds: float) -> float:
    """The best value by then; infinite before the first one."""
    return min((value for when, value in curve if when <= seconds), default=math.inf)


def time_until(curve: Curve, value: float) -> float:
    """Seconds until a value is reached; infinite if it never is."""
    return min((when for when, found in curve if found <= value), default=math.inf)


def summary(runs: Sequence[Mapping[str, Any]], wall_s: float) -> dict[str, Any]:
    """Medians and ranges of one side's runs."""
    rows: dict[str, Any] = {
        key: spread([run[key] if run[key] is not None else math.inf for run in runs])
        for key in ("started", "completed", "first_start_s", "first_value_s", "cpu_s")
    }
    rows["best"] = {f"{share:g}": spread([best_at(run["curve"], share * wall_s) for run in runs]) for share in SHARES}
    return rows


def needs(own: Sequence[Curve], other: Sequence[Curve], wall_s: float) -> dict[str, Any]:
    """How long we need for what another side has by shares of the wall time, as part of that time; seed by seed."""
    found = {}
    for share in SHARES:
        then = share * wall_s
        values = [best_at(curve, then) for curve in other]
        # What the other side has not got by then, we need no time for.
        parts = [
            time_until(mine, value) / then if value < math.inf else 0.0 for mine, value in zip(own, values, strict=True)
        ]
        found[f"{share:g}"] = spread(parts)
    return found


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, least and most; None stands for what has not come within the time."""
    three = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, 4) if math.isfinite(value) else None for name, value in three.items()}


def _until_idle(tail: LogTail) -> None:
    deadline = time.monotonic() + _START_S
    while not tail.idle:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the agent has not looked into its queue:\n{tail.path.read_text()[-2000:]}")
        time.sleep(_LOOK_S)
        tail.read()


def read_runs(path: Path | None) -> Mapping[tuple[Any, ...], Mapping[str, Any]]:
    """The runs that a file has, by side, seed and minutes."""
    rows = map(json.loads, path.read_text().splitlines()) if path and path.exists() else ()
    return {(row["side"], row["seed"], row["minutes"]): row for row in rows}


def run(given: argparse.Namespace, sides: Sequence[str]) -> dict[str, Any]:
    """The whole benchmark."""
    wall_s = given.minutes * 60
    settings = {"minutes": given.minutes, "seeds": given.seeds, "slots": SLOTS}
    result: dict[str, Any] = {"benchmark": "study", **settings, **surroundings()}
    runs: dict[str, list[Mapping[str, Any]]] = {side: [] for side in sides}
    known = read_runs(given.runs)
    with temporary_place() as place:
        from clearml_hpo.backend.api import Api

        _adopt()
        own = place.folder / "template"  # a user's script, in a folder of its own
        own.mkdir()
        template = make_template(Api(), Path(shutil.copy(HERE / "boosting.py", own)), PARAMETERS)
        say(_ROW.format("seed", "side", "first start", "first value", "started", "completed", "cpu s", "load", "best"))
        for seed in range(given.seeds):
            for i in range(len(sides)):
                side = sides[(i + seed) % len(sides)]
                key = {"side": side, "seed": seed, "minutes": given.minutes}
                found = known.get(tuple(key.values()))
                if found is None:
                    job = Job(place, f"bench-{side}-{seed}", template, seed, wall_s, given.ray_python)
                    found = {**key, **measure(side, job)}
                    if given.runs:
                        with given.runs.open("a") as file:
                            file.write(json.dumps(found) + "\n")
                runs[side].append(found)
                first = [_text(found[key], "s") for key in ("first_start_s", "first_value_s")]
                counts = [found[key] for key in ("started", "completed", "cpu_s", "load_after")]
                say(_ROW.format(seed, side, *first, *counts, _text(found["best"])))
    result["sides"] = {side: {**summary(found, wall_s), "runs": found} for side, found in runs.items()}
    if "ours" in sides:
        curves = {side: [each["curve"] for each in found] for side, found in runs.items()}
        others = [side for side in sides if side != "ours"]
        result["ours_needs"] = {side: needs(curves["ours"], curves[side], wall_s) for side in others}
    return result


def _text(number: float | None, unit: str = "") -> str:
    return "none" if number is None else f"{number:g} {unit}".rstrip()


def bands(result: Mapping[str, Any]) -> Mapping[str, Band]:
    """Median, least and most of each side by the time, where each of its runs has a value."""
    found = {}
    for side, of_side in result["sides"].items():
        curves = [run["curve"] for run in of_side["runs"]]
        moments = sorted({when for curve in curves for when, _ in curve} | {result["minutes"] * 60})
        band = []
        for when in moments:
            values = [best_at(curve, when) for curve in curves]
            if max(values) < math.inf:
                band.append((when, statistics.median(values), min(values), max(values)))
        found[side] = band
    return found


def _has_ray(python: str) -> bool:
    return subprocess.run([python, "-c", "import ray.tune"], capture_output=True, check=False).returncode == 0


def main() -> int:
    """The command; 1 if a side has no value."""
    parser = argparse.ArgumentParser(description="The best value over wall time by who drives the study, as JSON.")
    parser.add_argument("--side", action="append", choices=list(SIDES), help="this side alone; may be repeated")
    parser.add_argument("--minutes", type=float, default=10.0, help="of each run")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each side")
    parser.add_argument("--runs", type=Path, metavar="FILE", help="keeps each run as it ends; a later call goes on")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="an SVG of the best value over time")
    parser.add_argument(
        "--ray-python",
        default=sys.executable,
        metavar="PATH",
        help="a Python with ray[tune], xgboost and scikit-learn (default: this one, if it has Ray)",
    )
    given = parser.parse_args()
    sides = given.side or list(SIDES)
    if "ray" in sides and not _has_ray(given.ray_python):
        lack = f"{given.ray_python} cannot import ray.tune; name one that can by --ray-python"
        if given.side:
            parser.error(f"--side ray: {lack}")
        say(f"without Ray Tune: {lack}")
        sides.remove("ray")
    result = run(given, sides)
    if given.plot:
        given.plot.write_text(draw(bands(result), result["minutes"] * 60))
    print(json.dumps(result, indent=2))
    return int(any(each["best"] is None for side in result["sides"].values() for each in side["runs"]))


if __name__ == "__main__":
    sys.exit(main())
