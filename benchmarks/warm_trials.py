"""Trials per hour, and processor seconds of each: plain agents, tuned agents, warm workers, Dask; Optuna, Ray Tune.

    make bench-trials
    python -m benchmarks.warm_trials --side warm --template no_op --trials 40
    python -m benchmarks.warm_trials --side warm --side dask --sleeping-only --sleeping-slots 64
    python -m benchmarks.warm_trials --side warm --side ray --ray-python /path/to/python

One machine, one server, one side after the other, two trials at a time. ``stock`` is ClearML's optimizer and
``clearml-agent`` as it is; ``tuned`` is ``clearml-hpo run`` and agents of ``clearml_hpo.fleet``; ``warm`` is
``clearml-hpo run`` and ``clearml-hpo worker``; ``dask`` is ``clearml-hpo run``, ``dask scheduler`` and ``clearml-hpo
dask worker``; ``optuna`` is two processes on one SQLite storage, training the same without ClearML; ``daskstorage``
is the same on a Dask cluster with Optuna's ``DaskStorage`` in memory, if this Python has ``optuna-integration``;
``ray`` and ``ray-reused`` are Ray Tune with a process for each trial, or for as many as there are slots, the same
again, if this Python or ``--ray-python`` has it. The rate is from the first end of a trial to the last, so that
starting is no part of it. Then trials that sleep for a second, ten for each of 8 slots: of one worker, one Dask worker,
8 Optuna processes, Ray.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.place import (
    NO_OP,
    PROJECT,
    Place,
    Ran,
    make_template,
    run_timed,
    say,
    surroundings,
    temporary_place,
    variables,
)
from benchmarks.trial_overhead import fleet_agent, plain_agent
from clearml_hpo.machine.processes import end_session, identify

if TYPE_CHECKING:
    from clearml_hpo.backend.api import Api

HERE = Path(__file__).parent
CATBOOST = HERE / "catboost_cancer.py"
SLOTS = 2
SLEEPING_SLOTS, SLEEPING_TRIALS = 8, 10
"""Slots, and trials that sleep for each of them."""
POLL_S = 2.0
TIMEOUT_S = 900.0
TRIALS: Mapping[str, Mapping[str, int]] = {
    "stock": {"no_op": 8, "catboost": 8},
    "tuned": {"no_op": 16, "catboost": 16},
    "warm": {"no_op": 80, "catboost": 60},
    "dask": {"no_op": 80, "catboost": 60},
    "optuna": {"no_op": 80, "catboost": 60},
    "daskstorage": {"no_op": 80, "catboost": 60},
    "ray": {"no_op": 40, "catboost": 40},
    "ray-reused": {"no_op": 400, "catboost": 60},
}
RAY = {side for side in TRIALS if side.startswith("ray")}
STUDY = """\
study: {name}
project: benchmarks
template: {{task: {template}}}
search_space:
  General/x: {{type: float, low: 0.0, high: 1.0}}
  General/depth: {{type: int, low: 2, high: 8}}
objective: {{metric: validation/loss, direction: minimize}}
sampler: {{name: tpe, seed: 1}}
budget: {{trials: {trials}}}
execution: {{{where}, poll_interval: {poll_s}, prefetch: 2}}
"""
SLEEPS = {
    "bare": "import time\ntime.sleep(1)\n",
    "reports": (
        "import time\nfrom clearml import Task\ntask = Task.init('benchmarks', 'sleep')\ntime.sleep(1)\n"
        "task.get_logger().report_scalar('validation', 'loss', 0.5, 1)\n"
    ),
}

Span = tuple[float, float]
"""Start and end of a trial, in seconds."""
Cost = Callable[[], float]
"""Processor seconds in all, once it has ended."""
_LOOK_S = 0.1


@contextmanager
def agents(place: Place, side: str, queue: str) -> Iterator[Cost]:
    """Agents of a side, each a worker of the queue."""
    with ExitStack() as stack:
        names = [f"{queue}-{i}" for i in range(SLOTS)]
        if side == "stock":
            found = [stack.enter_context(plain_agent(place, queue, name)) for name in names]
        else:
            found = [stack.enter_context(fleet_agent(place, queue, {}, name)) for name in names]
        before = sum(daemon.cpu_s() for daemon in found)
        used = 0.0
        yield lambda: used
        used = sum(daemon.cpu_s() for daemon in found) - before


class Program:
    """A Python program beside; ``cpu_s`` is known when it has ended."""

    def __init__(self, place: Place, name: str, words: Sequence[str]) -> None:
        self.cpu_s = 0.0
        self._log = place.folder / f"{name}.log"
        with self._log.open("wb") as log:
            line = [sys.executable, "-m", *words]
            self._process = subprocess.Popen(line, stdout=log, stderr=log, start_new_session=True)
        self._leader = identify(self._process.pid)

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def until_said(self, text: str) -> None:
        """Waits until its output has this text."""
        deadline = time.monotonic() + TIMEOUT_S
        while text not in self._log.read_text(errors="replace"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"it has not said {text!r}:\n{self._log.read_text(errors='replace')[-2000:]}")
            time.sleep(_LOOK_S)

    def end(self) -> None:
        """Returns when it has left."""
        self._process.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        end_session(self._leader)
        self.cpu_s = usage.ru_utime + usage.ru_stime


@contextmanager
def warm_worker(place: Place, queue: str, slots: int) -> Iterator[Cost]:
    """``clearml-hpo worker`` on a queue."""
    words = ["clearml_hpo", "worker", "--queue", queue, "--cpu", str(slots), "--threads", "1"]
    with running([Program(place, queue, words)]) as cost:
        yield cost


@contextmanager
def dask_cluster(place: Place, name: str, address: str, slots: int) -> Iterator[Cost]:
    """``dask scheduler`` and ``clearml-hpo dask worker``."""
    where = ["--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--dashboard-address", "127.0.0.1:0"]
    scheduler = Program(place, f"{name}-scheduler", ["distributed.cli.dask_scheduler", *where])
    with ExitStack() as stack:
        of_scheduler = stack.enter_context(running([scheduler]))
        scheduler.until_said("Scheduler at")
        words = ["clearml_hpo", "dask", "worker", address, "--cpu", str(slots), "--threads", "1"]
        worker = Program(place, f"{name}-worker", words)
        of_worker = stack.enter_context(running([worker]))
        worker.until_said("Ctrl-C to leave")
        yield lambda: of_scheduler() + of_worker()


@contextmanager
def running(programs: Sequence[Program]) -> Iterator[Cost]:
    """Ends programs in the end."""
    try:
        yield lambda: sum(program.cpu_s for program in programs)
    finally:
        for program in programs:
            program.end()


def free_address() -> str:
    """Where a scheduler can be."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{free.getsockname()[1]}"


def controller(place: Place, side: str, template: str, queue: str, trials: int, scheduler: str) -> Sequence[str]:
    """The command that drives a side's trials; ``scheduler`` is the address of Dask's."""
    folder = place.folder / queue
    folder.mkdir()
    if side == "stock":
        # A copy outside any repository, so that the SDK does not look for changes to send along.
        copy = str(shutil.copy(HERE / "optimizer_script.py", folder))
        classes = ["clearml.automation.HyperParameterOptimizer", "clearml.automation.optuna.OptimizerOptuna"]
        return [sys.executable, copy, *classes, template, queue, str(trials), str(POLL_S), str(SLOTS)]
    file = folder / "study.yaml"
    where = f"executor: dask, dask: {{address: '{scheduler}'}}" if side == "dask" else f"queue: {queue}"
    file.write_text(STUDY.format(name=queue, template=template, trials=trials, poll_s=POLL_S, where=where))
    return [sys.executable, "-m", "clearml_hpo", "run", str(file)]


def measure(place: Place, api: Api, side: str, name: str, template: str, trials: int) -> dict[str, Any]:
    """Figures of one side on one template."""
    queue = f"bench-{side}-{name}".replace("_", "-")
    api.call("queues.create", name=queue)
    scheduler = free_address()
    command = controller(place, side, template, queue, trials, scheduler)
    log = place.folder / queue / "output.log"
    before = completed(api)
    with workers_of(place, side, queue, scheduler) as cost:
        ran = run_timed(command, log, TIMEOUT_S)
    if ran.code:
        say(log.read_text(errors="replace")[-3000:])
    after = completed(api)
    return figures(sorted(after[task] for task in after.keys() - before.keys()), ran.code, ran.cpu_s, cost())


def workers_of(place: Place, side: str, queue: str, scheduler: str) -> AbstractContextManager[Cost]:
    """Whoever runs the trials of a side."""
    if side == "warm":
        return warm_worker(place, queue, SLOTS)
    if side == "dask":
        return dask_cluster(place, queue, scheduler, SLOTS)
    return agents(place, side, queue)


def completed(api: Api) -> dict[str, float]:
    """When trials were completed, in seconds."""
    found = api.call("tasks.get_all", type=["training"], status=["completed"], only_fields=["id", "completed"])
    return {task["id"]: _seconds(task["completed"]) for task in found["tasks"]}


def figures(ends: Sequence[float], code: int | None, controller_s: float, worker_s: float) -> dict[str, Any]:
    """What is said of a side."""
    rate = (len(ends) - 1) / (ends[-1] - ends[0]) * 3600 if len(ends) > 1 else None
    return {
        "outcome": "out of time" if code is None else "done" if code == 0 else f"exit status {code}",
        "trials": len(ends),
        "trials_per_hour": rate and round(rate),
        "cpu_s_per_trial": round((controller_s + worker_s) / len(ends), 2) if ends else None,
        "controller_cpu_s": round(controller_s, 1),
        "workers_cpu_s": round(worker_s, 1),
    }


def run_optuna(place: Place, name: str, trials: int, slots: int) -> tuple[Ran, list[Span]]:
    """Optuna processes on one storage."""
    import optuna

    storage = f"sqlite:///{place.folder}/{name}.db"
    command = [sys.executable, "-m", "benchmarks.optuna_worker", storage, str(trials), name]
    shell = " & ".join([" ".join(command)] * slots) + " & wait"
    optuna.create_study(study_name="bench", storage=storage)
    ran = run_timed(["sh", "-c", shell], place.folder / f"optuna-{name}.log", TIMEOUT_S)
    trials_ = optuna.load_study(study_name="bench", storage=storage).get_trials(deepcopy=False)
    times = [(trial.datetime_start, trial.datetime_complete) for trial in trials_]
    return ran, [(start.timestamp(), end.timestamp()) for start, end in times if start and end]


def run_dask_storage(place: Place, name: str, trials: int, slots: int) -> tuple[Ran, list[Span]]:
    """Optuna on a Dask cluster of this machine, with its own storage on the scheduler."""
    log = place.folder / f"daskstorage-{name}.log"
    command = [sys.executable, "-m", "benchmarks.dask_storage", str(trials), str(slots), name]
    ran = run_timed(command, log, TIMEOUT_S)
    output = log.read_text(errors="replace")
    if ran.code:
        say(output[-3000:])
        return ran, []
    return ran, [(start, end) for start, end in json.loads(output.splitlines()[-1])]


WITHOUT_CLEARML = {"optuna": run_optuna, "daskstorage": run_dask_storage}


def measure_optuna(place: Place, side: str, name: str, trials: int) -> dict[str, Any]:
    """Figures of Optuna by itself."""
    ran, spans = WITHOUT_CLEARML[side](place, name, trials, SLOTS)
    return figures(sorted(end for _, end in spans), ran.code, ran.cpu_s, 0.0)


def run_ray(
    place: Place, python: str, side: str, name: str, trials: int, slots: int
) -> tuple[Ran, list[Span], float | None]:
    """Ray Tune; the processor time is of all its processes, its start and first trials left out; None if
    they end with their trials.
    """
    folder = place.folder / f"{side}-{name}"
    folder.mkdir()
    command = [
        python,
        "-m",
        "benchmarks.ray_worker",
        str(trials),
        str(slots),
        name,
        str(folder),
        side.removeprefix("ray-"),
    ]
    with variables({"PYTHONPATH": str(HERE.parent)}):
        ran = run_timed(command, folder / "output.log", TIMEOUT_S)
    output = (folder / "output.log").read_text(errors="replace")
    if ran.code:
        say(output[-3000:])
        return ran, [], 0.0
    found = json.loads(next(line for line in output.splitlines() if line.startswith('{"spans"')))
    return ran, [(start, end) for start, end in found["spans"]], found["cpu_s"]


def measure_ray(place: Place, python: str, side: str, name: str, trials: int) -> dict[str, Any]:
    """Figures of Ray Tune."""
    ran, spans, cpu_s = run_ray(place, python, side, name, trials, SLOTS)
    found = figures(sorted(end for _, end in spans), ran.code, cpu_s or 0.0, 0.0)
    return found if cpu_s is not None else {**found, "cpu_s_per_trial": None, "controller_cpu_s": None}


def sleepers(place: Place, api: Api, side: str, kind: str, slots: int, trials: int) -> list[Span]:
    """Trials that only sleep, on a warm worker or a Dask worker."""
    name = f"bench-sleep-{side}-{kind}"
    script = {"entry_point": "sleep.py", "diff": SLEEPS[kind], "binary": "python3"}
    tasks = [
        api.call("tasks.create", name=f"sleep {i}", type="training", project=_project(api), script=script)["id"]
        for i in range(trials + slots)
    ]
    with (submitting_warm if side == "warm" else submitting_dask)(place, api, name, slots) as submit:
        for batch in (tasks[:slots], tasks[slots:]):  # the parent is warm after the first ones
            for task in batch:
                submit(task)
            _until_completed(api, batch)
    found = _read(api, tasks[slots:], ["started", "completed"])
    return [(_seconds(task["started"]), _seconds(task["completed"])) for task in found]


@contextmanager
def submitting_warm(place: Place, api: Api, name: str, slots: int) -> Iterator[Callable[[str], object]]:
    """A warm worker, and what puts a task in its queue."""
    api.call("queues.create", name=name)
    with warm_worker(place, name, slots):
        yield lambda task: api.call("tasks.enqueue", task=task, queue_name=name)


@contextmanager
def submitting_dask(place: Place, api: Api, name: str, slots: int) -> Iterator[Callable[[str], object]]:
    """A Dask worker, and what hands a task to the executor of a study."""
    from clearml_hpo.executors.dask.executor import DaskExecutor
    from clearml_hpo.executors.dask.plan import DASK, DaskPlan

    address = free_address()
    study = api.call("tasks.create", name=name, type="optimizer", project=_project(api))["id"]
    with dask_cluster(place, name, address, slots):
        executor = DaskExecutor(api, DaskPlan(address=address), study_id=study, on_note=say)
        try:
            yield lambda task: executor.submit(task, DASK)
        finally:
            executor.close()


def measure_sleeping(place: Place, api: Api, sides: Sequence[str], slots: int, python: str) -> dict[str, Any]:
    """The share of the ideal throughput, by who runs them."""
    trials = SLEEPING_TRIALS * slots
    found = {}
    for side in ("warm", "dask"):
        if side in sides:
            found[side] = {kind: share(sleepers(place, api, side, kind, slots, trials), slots) for kind in SLEEPS}
    for side, run_side in WITHOUT_CLEARML.items():
        if side in sides:
            _, spans = run_side(place, "sleep", trials + 2 * slots, slots)
            # Its processes do not start at once: what counts begins when all of them train.
            begun = sorted(end for _, end in spans)[2 * slots - 1]
            found[side] = share([span for span in spans if span[0] >= begun], slots)
    for side in RAY & {*sides}:
        found[side] = share(run_ray(place, python, side, "sleep", trials, slots)[1], slots)
    return found


def share(spans: Sequence[Span], slots: int) -> dict[str, Any]:
    """Of trials that sleep for a second: how much of what the slots could do was done."""
    wall_s = max(end for _, end in spans) - min(start for start, _ in spans) if spans else 0.0
    part = len(spans) / slots / wall_s if spans else None
    return {
        "trials": len(spans),
        "slots": slots,
        "wall_s": round(wall_s, 1),
        "share_of_ideal": part and round(part, 3),
    }


def _until_completed(api: Api, tasks: Sequence[str]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    left = list(tasks)
    while time.monotonic() < deadline:
        # The server is part of what is measured: it is asked for little.
        left = [task["id"] for task in _read(api, left, ["id", "status"]) if task["status"] != "completed"]
        if not left:
            return
        time.sleep(0.5)
    raise RuntimeError("the trials were not completed in time")


def _read(api: Api, tasks: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
    asked = {"only_fields": fields, "page_size": _PAGE, "page": 0}
    pages = [tasks[i : i + _PAGE] for i in range(0, len(tasks), _PAGE)]
    return [task for page in pages for task in api.call("tasks.get_all", id=list(page), **asked)["tasks"]]


_PAGE = 500


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _project(api: Api) -> str:
    from clearml_hpo.backend.names import ensure_project

    return ensure_project(api, PROJECT)


def templates(api: Api) -> Mapping[str, str]:
    """Ids by name."""
    return {"no_op": make_template(api, NO_OP), "catboost": make_template(api, CATBOOST)}


def run(given: argparse.Namespace, sides: Sequence[str]) -> dict[str, Any]:
    """The whole benchmark."""
    result: dict[str, Any] = {"benchmark": "warm_trials", "slots": SLOTS, **surroundings()}
    with temporary_place() as place:
        from clearml_hpo.backend.api import Api

        api = Api()
        ids = templates(api)
        result["templates"] = {}
        for name in given.template:
            found = result["templates"][name] = {}
            for side in sides:
                say(f"{name}, {side} ...")
                count = given.trials or TRIALS[side][name]
                if side in WITHOUT_CLEARML:
                    found[side] = measure_optuna(place, side, name, count)
                elif side in RAY:
                    found[side] = measure_ray(place, given.ray_python, side, name, count)
                else:
                    found[side] = measure(place, api, side, name, ids[name], count)
        if not given.no_sleep:
            say("sleeping trials ...")
            result["sleeping"] = measure_sleeping(place, api, sides, given.sleeping_slots, given.ray_python)
    return result


def _has_ray(python: str) -> bool:
    return subprocess.run([python, "-c", "import ray.tune"], capture_output=True, check=False).returncode == 0


def main() -> int:
    """The command; 1 if a side did not come to its end."""
    names = ["no_op", "catboost"]
    parser = argparse.ArgumentParser(description="Trials per hour by who runs them, as JSON.")
    parser.add_argument("--side", action="append", choices=list(TRIALS), help="this side alone; may be repeated")
    parser.add_argument("--template", action="append", choices=names, help="this one alone")
    parser.add_argument("--trials", type=int, help="of each side (default: as many as take a minute or so)")
    parser.add_argument("--no-sleep", action="store_true", help="leave out the sleeping trials")
    parser.add_argument("--sleeping-only", action="store_true", help="nothing but the sleeping trials")
    parser.add_argument(
        "--sleeping-slots", type=int, default=SLEEPING_SLOTS, help=f"of the sleeping trials (default {SLEEPING_SLOTS})"
    )
    parser.add_argument(
        "--ray-python",
        default=sys.executable,
        metavar="PATH",
        help="a Python with ray[tune], catboost and scikit-learn (default: this one, if it has Ray)",
    )
    given = parser.parse_args()
    has_ray = _has_ray(given.ray_python)
    if (wanted := RAY & {*(given.side or ())}) and not has_ray:
        parser.error(
            f"--side {min(wanted)}: {given.ray_python} cannot import ray.tune; name one that can by --ray-python"
        )
    has_dask_storage = importlib.util.find_spec("optuna_integration") is not None
    if "daskstorage" in (given.side or ()) and not has_dask_storage:
        parser.error("--side daskstorage: this Python has no optuna-integration; install it")
    absent = {*(() if has_ray else RAY), *(() if has_dask_storage else ["daskstorage"])}
    given.template = [] if given.sleeping_only else given.template or names
    result = run(given, given.side or [side for side in TRIALS if side not in absent])
    print(json.dumps(result, indent=2))
    return int(any(side["outcome"] != "done" for found in result["templates"].values() for side in found.values()))


if __name__ == "__main__":
    sys.exit(main())
