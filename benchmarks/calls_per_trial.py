"""API calls per trial that a controller makes: ClearML's stock optimizer and ours, side by side.

    make bench-calls
    python -m benchmarks.calls_per_trial --only run --trials 12

All sides use the same server, template, number of trials and poll period, two trials at a time. Two played agents per
side, in this process, take the trials from a real queue and report as a training would, at no cost. The controllers
are processes of their own, and each call is written down where it leaves them (``wire.py``).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import wire
from benchmarks.place import PROJECT, Place, Ran, make_template, run_timed, say, surroundings, temporary_place

if TYPE_CHECKING:
    from clearml_hpo.backend.api import Api

HERE = Path(__file__).parent
CONCURRENT = 2
_LOGIN = "auth.login"
_STOCK_OPTIMIZER = "clearml.automation.HyperParameterOptimizer"
_OUR_STRATEGY = "clearml_hpo.OptunaStrategy"
STUDY = f"""\
study: {{name}}
project: {PROJECT}
template: {{{{task: {{template}}}}}}
search_space:
  General/x: {{{{type: float, low: 0.0, high: 1.0}}}}
  General/depth: {{{{type: int, low: 2, high: 8}}}}
objective: {{{{metric: validation/loss, direction: minimize}}}}
pruner: {{{{name: median}}}}
budget: {{{{trials: {{trials}}}}}}
execution: {{{{queue: {{queue}}, concurrency: {CONCURRENT}, poll_interval: {{poll_s}}}}}}
"""


@dataclass(frozen=True)
class Settings:
    """What all sides have in common.

    Attributes:
        poll_s: poll period of the controllers.
        start_s: seconds from an agent's taking a trial to its first report.
        timeout_s: after which a side is ended.
    """

    trials: int
    poll_s: float
    start_s: float
    timeout_s: float


@dataclass(frozen=True)
class Job:
    """One side's controller: a folder of its own, a queue of its own, the common template."""

    folder: Path
    queue: str
    template: str
    settings: Settings


Program = Callable[[Job], Sequence[str]]


def script(optimizer: str, strategy: str) -> Program:
    """ClearML's usual script with these classes."""

    def program(job: Job) -> Sequence[str]:
        # A copy outside any repository, so that the SDK does not look for changes to send along.
        copy = str(shutil.copy(HERE / "optimizer_script.py", job.folder))
        common = job.settings
        return [copy, optimizer, strategy, job.template, job.queue, str(common.trials), str(common.poll_s)]

    return program


def study_file(job: Job) -> Sequence[str]:
    """``clearml-hpo run`` of a study file that asks for the same."""
    common = job.settings
    text = STUDY.format(
        name=job.queue, template=job.template, trials=common.trials, queue=job.queue, poll_s=common.poll_s
    )
    path = job.folder / "study.yaml"
    path.write_text(text)
    return ["-m", "clearml_hpo", "run", str(path), "--output", str(_out(job.folder))]


SIDES: Mapping[str, Program] = {
    "stock": script(_STOCK_OPTIMIZER, "clearml.automation.optuna.OptimizerOptuna"),
    "strategy": script(_STOCK_OPTIMIZER, _OUR_STRATEGY),
    "optimizer": script("clearml_hpo.StudyOptimizer", _OUR_STRATEGY),
    "run": study_file,
}


def measure(place: Place, api: Api, template: str, side: str, settings: Settings) -> dict[str, Any]:
    """Runs one side's controller to its end, and says what it has cost."""
    from clearml_hpo.testing import PlayedAgent

    job = Job(place.folder / side, f"bench-{side}", template, settings)
    job.folder.mkdir()
    api.call("queues.create", name=job.queue)
    calls = job.folder / "calls.log"
    command = [sys.executable, str(HERE / "wire.py"), str(calls), *SIDES[side](job)]
    with ExitStack() as stack:
        agents = [
            stack.enter_context(PlayedAgent(training(settings), worker_id=f"{job.queue}:{i}", queue=job.queue))
            for i in range(CONCURRENT)
        ]
        ran = run_timed(command, job.folder / "output.log", settings.timeout_s)
    found = figures(ran, wire.read(calls), sum(len(agent.ran) for agent in agents))
    if ran.code:
        say((job.folder / "output.log").read_text(errors="replace")[-3000:])
    return {**found, **own_count(_out(job.folder), wire.read(calls))}


def training(settings: Settings) -> Callable[[Mapping[str, str]], Iterable[Mapping[str, float]]]:
    """Five iterations towards a value that depends on the parameters, after the time that a start takes."""

    def train(params: Mapping[str, str]) -> Iterable[Mapping[str, float]]:
        time.sleep(settings.start_s)
        end = (float(params["General/x"]) - 0.3) ** 2 + 0.01 * int(params["General/depth"])
        for iteration in range(1, 6):
            yield {"validation/loss": end + 1 / iteration}

    return train


def figures(ran: Ran, calls: Counter[str], trials: int) -> dict[str, Any]:
    """What is said of a side; ``trials`` is how many the agents have run."""
    total = sum(calls.values())
    return {
        "outcome": "out of time" if ran.code is None else "done" if ran.code == 0 else f"exit status {ran.code}",
        "trials": trials,
        "calls": total,
        "calls_per_trial": round(total / trials, 1) if trials else None,
        "most_frequent": dict(calls.most_common(5)),
        "wall_s": round(ran.wall_s, 1),
        "cpu_s": round(ran.cpu_s, 2),
    }


def own_count(out: Path, calls: Counter[str]) -> dict[str, Any]:
    """What ``clearml-hpo run`` itself has counted, beside what was seen from outside.

    They agree but for logins: the SDK's storage, which uploads the best parameters, logs in by itself.
    """
    if not out.exists():
        return {}
    own = Counter(json.loads(out.read_text())["api_calls"])
    seen = {name: count for name, count in calls.items() if name != _LOGIN}
    return {"own_count": sum(own.values()), "own_count_agrees": seen == {n: c for n, c in own.items() if n != _LOGIN}}


def run(sides: Sequence[str], settings: Settings) -> dict[str, Any]:
    """The whole benchmark."""
    result: dict[str, Any] = {"benchmark": "calls_per_trial", **asdict(settings), "concurrent": CONCURRENT}
    result.update(surroundings())
    with temporary_place() as place:
        from clearml_hpo.backend.api import Api

        api = Api()
        template = make_template(api)
        result["sides"] = {}
        for side in sides:
            say(f"{side} ...")
            result["sides"][side] = measure(place, api, template, side, settings)
    return result


def main() -> int:
    """The command; 1 if a side did not come to its end."""
    parser = argparse.ArgumentParser(description="API calls per trial that a controller makes, as JSON.")
    parser.add_argument("--only", action="append", choices=list(SIDES), help="this side alone; may be repeated")
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--poll-s", type=float, default=6.0, help="poll period of the controllers")
    parser.add_argument("--start-s", type=float, default=8.0, help="from an agent's taking a trial to its first report")
    parser.add_argument("--timeout-s", type=float, default=240.0, help="for each side")
    given = parser.parse_args()
    settings = Settings(given.trials, given.poll_s, given.start_s, given.timeout_s)
    result = run(given.only or list(SIDES), settings)
    print(json.dumps(result, indent=2))
    return int(any(side["outcome"] != "done" for side in result["sides"].values()))


def _out(folder: Path) -> Path:
    return folder / "out.json"


if __name__ == "__main__":
    sys.exit(main())
