"""Seconds from enqueued to completed of a trial that trains nothing, under a real agent with several settings.

    make bench-trial
    python -m benchmarks.trial_overhead --only plain --only tuned --clones 5

``plain`` is ``clearml-agent daemon`` as it is, only without a virtual environment per task. ``tuned`` is an agent of
``clearml_hpo.fleet``. The sides between are the tuned one with one of its settings back at ClearML's default. One
agent at a time, all on the same server. The moment of enqueueing is spread evenly over the agent's poll period.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.place import Place, make_template, say, surroundings, temporary_place, variables
from clearml_hpo import fleet
from clearml_hpo.fleet.daemon import NO_VENV, TUNED
from clearml_hpo.fleet.logtail import LogTail
from clearml_hpo.machine.processes import end_session, identify

if TYPE_CHECKING:
    from clearml_hpo.backend.api import Api

POLL = "CLEARML_AGENT_QUEUE_POLL_FREQ_SEC"
DEFAULT_POLL_S = 5.0
_POLL_PERIOD = {POLL: f"{DEFAULT_POLL_S:g}"}
_REPORTER = {"CLEARML_AGENT__SDK__DEVELOPMENT__REPORT_USE_SUBPROCESS": "true"}
_UPDATE_CHECK = {
    "CLEARML_AGENT__AGENT__DISABLE_AGENT_UPDATE_CHECK": "false",
    "CLEARML_SUPPRESS_UPDATE_MESSAGE": "0",
}
_LOOK_S = 0.1

AT_DEFAULT: Mapping[str, Mapping[str, str] | None] = {
    "plain": None,
    "poll_period": _POLL_PERIOD,
    "report_process": _REPORTER,
    "poll_period_and_report_process": {**_POLL_PERIOD, **_REPORTER},
    "update_check": _UPDATE_CHECK,
    "tuned": {},
}
"""Sides: which variables of a tuned agent have ClearML's default; None is an agent without any of ours."""


@dataclass(frozen=True)
class Daemon:
    """An agent at work; ``poll_s`` is how often it looks into its queue."""

    pid: int
    log: Path
    poll_s: float

    def cpu_s(self) -> float:
        """Processor seconds of the daemon and of all that it has waited for: its tasks, once they are done."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)


@contextmanager
def plain_agent(place: Place, queue: str, name: str = "") -> Iterator[Daemon]:
    """``clearml-agent daemon``, all defaults but the virtual environment; ``name`` is the queue's unless given."""
    name = name or queue
    # Unbuffered, because what the agent does is read from its log.
    own = {**NO_VENV, "CLEARML_WORKER_ID": f"bench:{name}", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "clearml_agent", "daemon", "--foreground", "--create-queue", "--cpu-only"]
    log = place.folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--queue", queue],
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    leader = identify(process.pid)
    try:
        yield Daemon(process.pid, log, DEFAULT_POLL_S)
    finally:
        end_session(leader)
        process.wait()


@contextmanager
def fleet_agent(place: Place, queue: str, changes: Mapping[str, str], name: str = "") -> Iterator[Daemon]:
    """One agent of ``clearml_hpo.fleet``, with some of its settings changed; ``name`` is the queue's unless given."""
    name = name or queue
    with variables(changes):
        up = fleet.up(place.folder, place.server, fleet.plan_slots(queue=queue, cpu=1), name=name, with_parent=True)
    try:
        (agent,) = up.agents
        assert agent.pid is not None  # up() returns when the daemon serves its queue
        yield Daemon(agent.pid, agent.log, float({**TUNED, **changes}[POLL]))
    finally:
        fleet.down(place.folder, name=name, now=True, timeout_s=60)


def agent_of(place: Place, side: str, queue: str) -> AbstractContextManager[Daemon]:
    """The agent of a side."""
    changes = AT_DEFAULT[side]
    return plain_agent(place, queue) if changes is None else fleet_agent(place, queue, changes)


@dataclass(frozen=True)
class Timed:
    """One clone, in seconds: from enqueued to its first value on the server, to completed; and of processor time."""

    first_value_s: float
    completed_s: float
    cpu_s: float


class Stopwatch:
    """Times clones under one agent."""

    def __init__(self, api: Api, template: str, queue: str, daemon: Daemon, timeout_s: float) -> None:
        self._api = api
        self._template = template
        self._queue = queue
        self._daemon = daemon
        self._timeout_s = timeout_s
        self._tail = LogTail(daemon.log)

    def time(self, phase: float) -> Timed:
        """Times one clone; ``phase`` is when in the poll period it is enqueued, 0 to 1."""
        task = self._api.call("tasks.clone", task=self._template, new_task_name=self._queue)["id"]
        self._next_idle()
        time.sleep(phase * self._daemon.poll_s)
        cpu_s, started = self._daemon.cpu_s(), time.monotonic()
        self._api.call("tasks.enqueue", task=task, queue_name=self._queue)
        self._until(lambda: self._look(task).get("last_metrics"), "the clone has not reported")
        first_value_s = time.monotonic() - started
        self._until(lambda: self._look(task)["status"] == "completed", "the clone is not completed")
        completed_s = time.monotonic() - started
        self._next_idle()  # it has waited for the task's process, whose processor time is known now
        return Timed(first_value_s, completed_s, self._daemon.cpu_s() - cpu_s)

    def _next_idle(self) -> None:
        """Waits until the agent has found its queue empty once more."""
        self._tail.read()
        seen = self._tail.idle
        self._until(lambda: self._idles() > seen and self._tail.task is None, "the agent is not idle")

    def _idles(self) -> int:
        self._tail.read()
        return self._tail.idle

    def _look(self, task: str) -> dict[str, Any]:
        fields = ["status", "last_metrics"]
        found: dict[str, Any] = self._api.call("tasks.get_all", id=[task], only_fields=fields)["tasks"][0]
        if found["status"] in ("failed", "stopped"):
            raise RuntimeError(f"the clone is {found['status']}; the agent's log ends:\n{self._log_end()}")
        return found

    def _until(self, happened: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + self._timeout_s
        while not happened():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what} after {self._timeout_s:g} s; the agent's log ends:\n{self._log_end()}")
            time.sleep(_LOOK_S)

    def _log_end(self) -> str:
        return self._daemon.log.read_text(errors="replace")[-2000:]


def measure(place: Place, api: Api, template: str, side: str, clones: int, timeout_s: float) -> dict[str, Any]:
    """Figures of one side."""
    queue = f"bench-{side}".replace("_", "-")
    with agent_of(place, side, queue) as daemon:
        watch = Stopwatch(api, template, queue, daemon, timeout_s)
        timed = [watch.time((i + 0.5) / clones) for i in range(clones)]
    return {
        "at_default": AT_DEFAULT[side],
        "enqueued_to_completed_s": spread([each.completed_s for each in timed]),
        "enqueued_to_first_value_s": spread([each.first_value_s for each in timed]),
        "cpu_s": spread([each.cpu_s for each in timed]),
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, least, most, and the values in their order."""
    return {
        "median": round(statistics.median(values), 2),
        "min": round(min(values), 2),
        "max": round(max(values), 2),
        "values": [round(value, 2) for value in values],
    }


def run(sides: Sequence[str], clones: int, timeout_s: float) -> dict[str, Any]:
    """The whole benchmark."""
    result: dict[str, Any] = {"benchmark": "trial_overhead", "clones": clones, **surroundings()}
    with temporary_place() as place:
        from clearml_hpo.backend.api import Api

        api = Api()
        template = make_template(api)
        result["sides"] = {}
        for side in sides:
            say(f"{side} ...")
            result["sides"][side] = measure(place, api, template, side, clones, timeout_s)
    return result


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Seconds from enqueued to completed under a real agent, as JSON.")
    parser.add_argument("--only", action="append", choices=list(AT_DEFAULT), help="this side alone; may be repeated")
    parser.add_argument("--clones", type=int, default=3, help="for each side")
    parser.add_argument("--timeout-s", type=float, default=120.0, help="for each clone")
    given = parser.parse_args()
    print(json.dumps(run(given.only or list(AT_DEFAULT), given.clones, given.timeout_s), indent=2))


if __name__ == "__main__":
    main()
