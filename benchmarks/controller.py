"""What a controller costs, ours and ClearML's stock optimizer on the same server: calls, idle slots, processor time.

    make bench-controller
    python -m benchmarks.controller --part live --side ours --live 10 100
    python -m benchmarks.controller --part live --side ours --live 2000 --record 10000 --more 100

Three parts. ``quick``: workers whose trainings take a second; API calls per trial, and how long a worker's slot is idle
between one trial's end and the next one's start. ``live``: many trials at once, played by one thread; calls per second
and processor time while all of them run, and processor seconds per trial over the whole study. ``rebuild``: how long it
takes to go on with a study of thousands of trials.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import shutil
import sqlite3
import statistics
import sys
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks import wire
from benchmarks.calls_per_trial import figures
from benchmarks.place import PROJECT, Place, Ran, make_template, run_timed, say, surroundings, temporary_place

if TYPE_CHECKING:
    from clearml_hpo.backend.api import Api

HERE = Path(__file__).parent
SIDES = ("ours", "stock")
WORKER_POLL_S = 0.02
STUDY = f"""\
study: {{name}}
project: {PROJECT}
template: {{{{task: {{template}}}}}}
search_space:
  General/x: {{{{type: float, low: 0.0, high: 1.0}}}}
  General/depth: {{{{type: int, low: 2, high: 8}}}}
objective: {{{{metric: validation/loss, direction: minimize}}}}
pruner: {{pruner}}
budget: {{{{trials: {{trials}}}}}}
execution: {{{{queue: {{queue}}, concurrency: {{{{{{queue}}: {{concurrent}}}}}}, poll_interval: {{poll_s}}}}}}
"""


@dataclass(frozen=True)
class Job:
    """One controller's work: a folder and a queue of its own."""

    folder: Path
    queue: str
    template: str
    trials: int
    concurrent: int
    poll_s: float
    pruner: str = "median"

    def command(self, side: str) -> list[str]:
        """The controller's, each call noted in ``calls``."""
        return [sys.executable, str(HERE / "wire.py"), str(self.calls), *getattr(self, f"_{side}")()]

    @property
    def calls(self) -> Path:
        """Where the calls are written down."""
        return self.folder / "calls.log"

    def _ours(self) -> Sequence[str]:
        path = self.folder / "study.yaml"
        values = {name: getattr(self, name) for name in ("queue", "template", "trials", "concurrent", "poll_s")}
        path.write_text(STUDY.format(name=self.queue, pruner=self.pruner, **values))
        return ["-m", "clearml_hpo", "run", str(path)]

    def _stock(self) -> Sequence[str]:
        copy = str(shutil.copy(HERE / "optimizer_script.py", self.folder))
        classes = ["clearml.automation.HyperParameterOptimizer", "clearml.automation.optuna.OptimizerOptuna"]
        return [copy, *classes, self.template, self.queue, str(self.trials), str(self.poll_s), str(self.concurrent)]


@contextmanager
def job(place: Place, api: Api, name: str, **settings: Any) -> Iterator[Job]:
    """A job in a folder and on a queue of its own."""
    folder = place.folder / name
    folder.mkdir()
    api.call("queues.create", name=f"bench-{name}")
    yield Job(folder, f"bench-{name}", **settings)


# --- quick trials ---------------------------------------------------------------------------------------------------


def quick(place: Place, api: Api, template: str, side: str, given: argparse.Namespace) -> dict[str, Any]:
    """Calls per trial, and idle seconds of a worker between two trials."""
    from clearml_hpo.testing import PlayedAgent

    settings = {"trials": given.trials, "concurrent": given.workers, "poll_s": given.poll_s}
    with ExitStack() as stack:
        one = stack.enter_context(job(place, api, f"quick-{side}", template=template, **settings))
        agents = [
            stack.enter_context(PlayedAgent(trainings(given.train_s), worker_id=f"{one.queue}:{i}", queue=one.queue))
            for i in range(given.workers)
        ]
        ran = run_timed(one.command(side), one.folder / "output.log", given.timeout_s)
    _say_why(ran, one)
    ids = [task_id for agent in agents for task_id in agent.ran]
    idle = idle_s(api.call("tasks.get_all", id=ids, only_fields=["started", "completed", "last_worker"])["tasks"])
    return {**figures(ran, wire.read(one.calls), len(ids)), "idle_s": percentiles(idle)}


def trainings(train_s: float) -> Any:
    """Five reports in so many seconds."""

    def train(params: Mapping[str, str]) -> Iterable[Mapping[str, float]]:
        end = (float(params["General/x"]) - 0.3) ** 2 + 0.01 * int(params["General/depth"])
        for iteration in range(1, 6):
            time.sleep(train_s / 5)
            yield {"validation/loss": end + 1 / iteration}

    return train


def idle_s(tasks: Iterable[Mapping[str, Any]]) -> list[float]:
    """Seconds from a task's end to the start of the next one of its worker, without the worker's own poll period."""
    from clearml_hpo.backend.trial_tasks import epoch

    by_worker: dict[str, list[tuple[float, float]]] = {}
    for task in tasks:
        started, completed = epoch(task.get("started")), epoch(task.get("completed"))
        if started is not None and completed is not None:
            by_worker.setdefault(task["last_worker"], []).append((started, completed))
    found = []
    for times in by_worker.values():
        ordered = sorted(times)
        found += [after[0] - before[1] for before, after in itertools.pairwise(ordered)]
    return [max(0.0, seconds - WORKER_POLL_S) for seconds in found]


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """Median and 95th percentile."""
    if len(values) < 2:
        return None
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return {"p50": round(cuts[9], 3), "p95": round(cuts[18], 3)}


# --- many live trials -----------------------------------------------------------------------------------------------


@dataclass
class Crowd:
    """Plays many workers in one thread: takes trials up to ``size``, reports for all of them, ends them.

    Attributes:
        released: until it is set, no trial ends.
    """

    api: Api
    queue: str
    size: int
    report_s: float
    train_s: float
    released: threading.Event = field(default_factory=threading.Event)
    running: dict[str, _Training] = field(default_factory=dict)
    ended: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Crowd:
        from clearml_hpo.backend.names import find_queues

        self._queue_id = find_queues(self.api, [self.queue])[self.queue]
        self.api.call("workers.register", worker=f"{self.queue}:0", queues=[self._queue_id], timeout=3600)
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _play(self) -> None:
        looked_at = 0.0
        while not self._over.is_set():
            now = time.monotonic()
            self._take(now)
            self._report(now)
            if now - looked_at > 2.0:
                looked_at = now
                self._heed()
                status = {"worker": f"{self.queue}:0", "queues": [self._queue_id], "timestamp": int(time.time())}
                self.api.call("workers.status_report", **status)
            if self.released.is_set():
                self._end(now)
            self._over.wait(0.05)

    def _take(self, now: float) -> None:
        while len(self.running) < self.size and time.monotonic() - now < 0.5:
            entry = self.api.call("queues.get_next_task", queue=self._queue_id).get("entry")
            if not entry:
                return
            self.api.call("tasks.started", task=entry["task"], force=True)
            # Spread evenly, so that reports do not come in waves.
            share = len(self.running) / self.size
            self.running[entry["task"]] = _Training(now - share * self.train_s / 2, now + share * self.report_s)

    def _report(self, now: float) -> None:
        events = []
        for task_id, one in self.running.items():
            if now >= one.report_at:
                one.step += 1
                one.report_at += self.report_s
                scalar = {"type": "training_stats_scalar", "metric": "validation", "variant": "loss"}
                value = {"value": 1 / one.step, "iter": one.step, "timestamp": int(time.time() * 1000)}
                events.append({**scalar, **value, "task": task_id})
        self.api.send_events(events)

    def _heed(self) -> None:
        ids = list(self.running)
        for start in range(0, len(ids), 500):
            fields = {"id": ids[start : start + 500], "only_fields": ["id", "status", "status_message"]}
            for task in self.api.call("tasks.get_all", page=0, page_size=500, **fields)["tasks"]:
                if task["status"] == "stopped" or task.get("status_message") == "stopping":
                    self.api.call("tasks.stopped", task=task["id"], force=True)
                    self._forget(task["id"])

    def _end(self, now: float) -> None:
        over = [id_ for id_, one in self.running.items() if now - one.began_at >= self.train_s and one.step]
        for task_id in over[:50]:
            self.api.call("tasks.completed", task=task_id, force=True)
            self._forget(task_id)

    def _forget(self, task_id: str) -> None:
        del self.running[task_id]
        self.ended += 1


@dataclass
class _Training:
    began_at: float
    report_at: float
    step: int = 0


def live(place: Place, api: Api, template: str, side: str, count: int, given: argparse.Namespace) -> dict[str, Any]:
    """Calls and processor time of a controller with so many live trials."""
    settings = {"trials": count + given.more, "concurrent": count, "poll_s": given.poll_s, "pruner": given.pruner}
    with job(place, api, f"live-{side}-{count}", template=template, **settings) as one:
        if side == "ours" and given.record:
            record(place, one, given.record, given.timeout_s)
            one.calls.unlink()
            one = replace(one, trials=one.trials + given.record)
        size = count - 1 if side == "ours" and count > 1 else count  # one of them waits in the queue
        with (
            Crowd(api, one.queue, size, given.report_s, given.live_train_s) as crowd,
            ThreadPoolExecutor(1) as pool,
        ):
            began = time.monotonic()
            running = pool.submit(run_timed, one.command(side), one.folder / "output.log", given.timeout_s)
            while len(crowd.running) < size and not running.done():
                time.sleep(0.05)
            filled_s = time.monotonic() - began
            window = steady(one, given.window_s) if not running.done() else None
            crowd.released.set()
            ran = running.result()
    _say_why(ran, one)
    found = figures(ran, wire.read(one.calls), crowd.ended)
    if crowd.ended:
        found["cpu_s_per_trial"] = round(ran.cpu_s / crowd.ended, 4)
        found["memory_mb"] = ran.memory_mb
    return {**found, "filled_s": round(filled_s, 1), "steady": window}


def steady(one: Job, window_s: float) -> dict[str, float]:
    """Calls per second and share of a core, of the controller and its children, while nothing begins or ends."""
    time.sleep(3.0)
    before, began = (sum(wire.read(one.calls).values()), _cpu_s(one)), time.monotonic()
    time.sleep(window_s)
    after, seconds = (sum(wire.read(one.calls).values()), _cpu_s(one)), time.monotonic() - began
    return {
        "calls_per_s": round((after[0] - before[0]) / seconds, 2),
        "share_of_core": round((after[1] - before[1]) / seconds, 3),
    }


def _cpu_s(one: Job) -> float:
    times = [
        p.cpu_times() for p in psutil.Process().children(recursive=True) if str(one.calls) in " ".join(p.cmdline())
    ]
    return sum(t.user + t.system for t in times)


# --- a study that goes on ---------------------------------------------------------------------------------------------


def rebuild(place: Place, api: Api, template: str, given: argparse.Namespace) -> dict[str, Any]:
    """Seconds to go on with a study of many ended trials, until its first step is done; in this process."""
    with job(place, api, "rebuild", template=template, trials=2, concurrent=1, poll_s=0.1) as one:
        study_id = record(place, one, given.rebuild, given.timeout_s)
        return {"trials": given.rebuild, **resume(study_id, given.rebuild)}


def record(place: Place, one: Job, trials: int, timeout_s: float) -> str:
    """Makes a job's study one of so many ended trials that was interrupted; returns its id."""
    from clearml_hpo.testing import PlayedAgent

    first = replace(one, trials=2, concurrent=1, poll_s=0.1)
    with PlayedAgent(trainings(0.0), worker_id=f"{one.queue}:0", queue=one.queue) as agent:
        ran = run_timed(first.command("ours"), one.folder / "first.log", timeout_s)
    if ran.code:
        say((one.folder / "first.log").read_text(errors="replace")[-3000:])
    return multiply(place.folder / "server" / "store.sqlite3", agent.ran[-1], trials)


def resume(study_id: str, trials: int) -> dict[str, Any]:
    """Goes on with a study, as ``clearml-hpo resume`` does, to its end, which is at once."""
    from clearml_hpo.backend.api import Api
    from clearml_hpo.controller.executors import executor_of
    from clearml_hpo.controller.opening import Opening
    from clearml_hpo.controller.run import StudyRun

    began = time.monotonic()
    api, stopped, view = Api(), threading.Event(), _FirstStep()
    opening = Opening(api, lambda api, file: (file, executor_of(file, api, say)), stopped, say)
    opened = opening.by_id(study_id, [f"budget.trials={trials}"])
    opened_at = time.monotonic()
    before = api.calls.total()
    outcome = StudyRun(opened, api, view, stopped).run()
    assert view.at is not None and len(outcome.trials) == trials, "the study is another one than it should be"
    return {
        "opened_s": round(opened_at - began, 2),
        "first_step_s": round(view.at - began, 2),
        "ended_s": round(time.monotonic() - began, 2),
        "calls_to_open": before,
        "calls_in_all": api.calls.total(),
    }


class _FirstStep:
    """A view that sees nothing but when the first step was done."""

    at: float | None = None

    def __enter__(self) -> _FirstStep:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def trial(self, trial: object) -> None:
        pass

    def progress(self, progress: object) -> None:
        self.at = self.at or time.monotonic()


def multiply(database: Path, task_id: str, trials: int, names: Sequence[str] = ("x",)) -> str:
    """Copies an ended trial task until the study has so many trials, and was interrupted; returns the study's id.

    The study has two trials already; ``names`` are its parameters, from 0 to 1.
    """
    draw = random.Random(1)
    points = ", ".join(f"'$.General.{name}.value', :{name}" for name in names)
    with closing(sqlite3.connect(database, timeout=30)) as db:
        columns = [row[1] for row in db.execute("PRAGMA table_info(tasks)")]
        (study_id,) = db.execute("SELECT parent FROM tasks WHERE id = ?", [task_id]).fetchone()
        changed = {
            "id": ":id",
            "hyperparams": f"json_set(hyperparams, '$.properties.trial.value', :number, {points})",
            "tags": "'[]'",  # it may be the best one
        }
        selected = ", ".join(changed.get(column, column) for column in columns)
        for number in range(2, trials):
            new = {"id": uuid.uuid4().hex, "number": str(number), "source": task_id}
            new |= {name: repr(draw.random()) for name in names}
            db.execute(f"INSERT INTO tasks SELECT {selected} FROM tasks WHERE id = :source", new)
            _copy_series(db, task_id, new["id"], 0.5 + number / trials)
        db.execute("UPDATE tasks SET status = 'stopped' WHERE id = ?", [study_id])
        db.commit()
    return str(study_id)


def _copy_series(db: sqlite3.Connection, source: str, target: str, shift: float) -> None:
    names = [row[1] for row in db.execute("PRAGMA table_info(series)") if row[1] not in ("id", "owner")]
    shifted = {"value", "min_value", "max_value", "first_value"}
    values = ", ".join(f"{name} + :shift" if name in shifted else name for name in names)
    for (series,) in db.execute("SELECT id FROM series WHERE owner = ?", [source]).fetchall():
        given = {"target": target, "series": series, "shift": shift}
        copied = db.execute(
            f"INSERT INTO series (owner, {', '.join(names)}) SELECT :target, {values} FROM series WHERE id = :series",
            given,
        ).lastrowid
        db.execute(
            "INSERT INTO scalars SELECT :copied, iter, value + :shift, timestamp, worker FROM scalars "
            "WHERE series = :series",
            {**given, "copied": copied},
        )


def _say_why(ran: Ran, one: Job) -> None:
    if ran.code:
        say((one.folder / "output.log").read_text(errors="replace")[-3000:])


def run(given: argparse.Namespace) -> dict[str, Any]:
    """The whole benchmark."""
    result: dict[str, Any] = {"benchmark": "controller", "settings": vars(given), **surroundings()}
    with temporary_place() as place:
        from clearml_hpo.backend.api import Api

        api = Api()
        template = make_template(api)
        for part in given.part:
            result[part] = {}
            for side in given.side if part != "rebuild" else ("ours",):
                say(f"{part}, {side} ...")
                if part == "quick":
                    result[part][side] = quick(place, api, template, side, given)
                elif part == "rebuild":
                    result[part][side] = rebuild(place, api, template, given)
                else:
                    counts = [count for count in given.live if side == "ours" or count <= given.most_stock]
                    result[part][side] = {str(n): live(place, api, template, side, n, given) for n in counts}
    return result


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="What a controller costs, as JSON.")
    parser.add_argument("--part", action="append", choices=("quick", "live", "rebuild"), help="may be repeated")
    parser.add_argument("--side", action="append", choices=SIDES, help="may be repeated")
    parser.add_argument("--trials", type=int, default=40, help="of the quick part")
    parser.add_argument("--workers", type=int, default=4, help="of the quick part")
    parser.add_argument("--train-s", type=float, default=1.0, help="of a quick trial")
    parser.add_argument("--poll-s", type=float, default=2.0, help="poll period of the controllers")
    parser.add_argument("--live", type=int, nargs="+", default=[10, 100, 1000], help="live trials at once")
    parser.add_argument("--most-stock", type=int, default=100, help="live trials at once of the stock optimizer")
    parser.add_argument("--record", type=int, default=0, help="ended trials that our live part goes on from")
    parser.add_argument("--more", type=int, default=20, help="trials after the first ones of the live part")
    parser.add_argument("--pruner", default="median", help="of our side in the live part")
    parser.add_argument("--report-s", type=float, default=10.0, help="between two reports of a live trial")
    parser.add_argument("--live-train-s", type=float, default=20.0, help="of a live trial, at least")
    parser.add_argument("--window-s", type=float, default=30.0, help="in which nothing begins or ends")
    parser.add_argument("--rebuild", type=int, default=5000, help="trials of the study that goes on")
    parser.add_argument("--timeout-s", type=float, default=400.0, help="for each controller")
    given = parser.parse_args()
    given.part = given.part or ["quick", "live", "rebuild"]
    given.side = given.side or list(SIDES)
    print(json.dumps(run(given), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
