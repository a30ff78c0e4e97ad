"""A server, workers and a controller as processes that are struck at random instants, and what is left in the end."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import requests

from clearml_hpo import server as embedded
from clearml_hpo.backend.hyperparameters import flatten, user_properties
from clearml_hpo.backend.lease import FIRST_RENEWAL_S
from clearml_hpo.server import RunningServer

from .proxy import LyingProxy

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("controller", "worker", "server", "terminal", "proxy", "scheduler", "command", "process")
"""The terminal of a controller is closed (SIGHUP), the proxy before the server lies, all others are killed.

The last three are Dask's: its scheduler, ``clearml-hpo dask worker``, a Dask worker below that.
"""
_OF_A_CONTROLLER = ("controller", "terminal")
_ENDED_BY_SIGHUP = (130, -signal.SIGHUP)  # the latter if it came before Python was ready
_MOST_LIES = 4
_ENDS_WITHIN_S = 60.0
PROJECT, QUEUE = "chaos", "chaos-queue"
_LOOK_S = 0.05
_FIELDS = ["id", "type", "status", "status_reason", "last_metrics", "hyperparams"]


_LEFT_IN_PEACE = 10
_NOBODY_ANSWERS = (
    "no ClearML server answers"  # what a controller that is started while the server is away says, and ends
)


@dataclass(frozen=True)
class Storm:
    """Who is struck how often.

    Attributes:
        kills: by target; a blow each happens at a random moment of the study's progress.
        ages_s: how old a controller is when it is killed: evenly drawn from here, so that some still open the study.
    """

    seed: int
    kills: Mapping[str, int]
    ages_s: tuple[float, float] = (0.2, 6.0)

    def blows(self, trials: int) -> list[Blow]:
        """Blows in the order in which they happen, spread over a study of so many trials."""
        rng = random.Random(self.seed)
        targets = [target for target in TARGETS for _ in range(self.kills.get(target, 0))]
        rng.shuffle(targets)
        # Trials that had begun may be pruned also while trainings are held: the last ones are left in peace.
        after = sorted(rng.randrange(max(1, trials - _LEFT_IN_PEACE)) for _ in targets)
        return [
            Blow(
                target, trials_ended, rng.uniform(*self.ages_s) if target in _OF_A_CONTROLLER else rng.uniform(0.0, 1.0)
            )
            for target, trials_ended in zip(targets, after, strict=True)
        ]


@dataclass(frozen=True)
class Blow:
    """Once so many trials have ended, and the target is so many seconds old."""

    target: str
    after: int
    age_s: float


@dataclass
class Life:
    """One life of a process; a controller holds the study from ``held_at`` on, as others see it."""

    process: subprocess.Popen[bytes]
    began_at: float = field(default_factory=time.time)
    held_at: float | None = None

    @property
    def age_s(self) -> float:
        return time.time() - self.began_at

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Ended:
    """What the storm has left.

    Attributes:
        killed: how often each target was struck.
        exits: how controllers have ended that were not killed, by exit code, each with the end of its log.
        seen_completed: ids of the tasks that were seen completed at any moment.
        tasks: all tasks of the study's project, as the server has them.
        waiting: entries left in any queue.
        driven_s: seconds in which some controller was seen to hold the study; those in which it ends are not counted.
        unnoticed_s: of these, the most that no successor can know of: what the killed ones drove after a sign of life.
    """

    killed: Counter[str] = field(default_factory=Counter)
    exits: list[tuple[int, str]] = field(default_factory=list)
    seen_completed: set[str] = field(default_factory=set)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    wall_s: float = 0.0
    driven_s: float = 0.0
    unnoticed_s: float = 0.0

    @property
    def studies(self) -> list[dict[str, Any]]:
        """Controller tasks."""
        return [task for task in self.tasks if task["type"] == "optimizer"]

    def attempts(self) -> dict[int, list[Attempt]]:
        """By number of the trial, in their order."""
        found = defaultdict(list)
        for task in self.tasks:
            properties = user_properties(task.get("hyperparams") or {})
            if properties.get("trial", "").isdecimal() and int(properties["attempt"]):
                found[int(properties["trial"])].append(Attempt(task, properties))
        return {number: sorted(found[number], key=lambda one: one.attempt) for number in sorted(found)}


@dataclass(frozen=True)
class Attempt:
    """A trial task as the server has it in the end."""

    task: Mapping[str, Any]
    properties: Mapping[str, str]

    @property
    def task_id(self) -> str:
        return str(self.task["id"])

    @property
    def attempt(self) -> int:
        return int(self.properties["attempt"])

    @property
    def status(self) -> str:
        return str(self.task["status"])

    @property
    def state(self) -> str:
        """As a controller has marked it; empty if none has."""
        return self.properties.get("state", "")

    @property
    def params(self) -> Mapping[str, str]:
        return flatten(self.task["hyperparams"])

    @property
    def value(self) -> float:
        """The last reported of the objective."""
        metrics = [v for m in self.task["last_metrics"].values() for v in m.values()]
        (metric,) = [each for each in metrics if (each["metric"], each["variant"]) == ("validation", "loss")]
        return float(metric["value"])


class World:
    """A folder with a study file, a server on ports that stay, and processes that come back."""

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        *,
        workers: int,
        steps: int = 8,
        step_s: float = 0.06,
        hangs: int = 0,
        seed: int = 0,
    ) -> None:
        """``hangs``: one in so many points hangs when it is first tried; 0 is none."""
        self.folder = folder
        self.study_file = folder / "study.yaml"
        self._environ = dict(environ)
        self._hold = folder / "hold"
        self._training = (str(steps), str(step_s), str(self._hold), str(hangs))
        self.server = embedded.start(folder / "server")
        self._environ.update(self.server.address.environ())
        self._client = Client(self.server)
        self._proxy = LyingProxy(urlsplit(self.server.address.api).port or 0, seed)
        self._client.call("queues.create", name=QUEUE)
        self._workers: dict[int, Life] = {}
        self._worker_count = workers
        self._controller: Life | None = None
        self._controllers = 0

    def __enter__(self) -> World:
        self._revive()
        return self

    def __exit__(self, *_: object) -> None:
        for life in (*self._workers.values(), *([self._controller] if self._controller else [])):
            life.kill()
        self._proxy.close()
        embedded.stop(self.folder / "server")

    def weather(self, storm: Storm, trials: int, timeout_s: float) -> Ended:
        """Drives the study through the storm to its end: until a controller exits with 0 after the last blow."""
        ended = Ended()
        began = time.monotonic()
        blows = storm.blows(trials)
        while True:
            assert time.monotonic() - began < timeout_s, f"no end: {blows[:3]} of {len(blows)}, {self.log_tail()}"
            self._revive()
            done = self._count(ended)
            code = self._drive(ended)
            if code is not None:
                if code == 0 and not blows:
                    break
                said = self.log_tail()
                if _NOBODY_ANSWERS not in said:
                    ended.exits.append((code, said))
            if blows and done >= blows[0].after:
                self._hold.touch()
                if self._strike(blows[0], storm, len(blows), ended):
                    ended.killed[blows.pop(0).target] += 1
            else:
                self._hold.unlink(missing_ok=True)
            time.sleep(_LOOK_S)
        ended.tasks = self._client.call("tasks.get_all", only_fields=_FIELDS, search_hidden=True)["tasks"]
        queues = self._client.call("queues.get_all", only_fields=["entries"])["queues"]
        ended.waiting = [entry["task"] for queue in queues for entry in queue.get("entries") or ()]
        ended.wall_s = time.monotonic() - began
        return ended

    def log_tail(self) -> str:
        """The end of what the last controller said."""
        log = self.folder / f"controller-{self._controllers}.log"
        return log.read_text(errors="replace")[-3000:] if log.exists() else ""

    def processes(self) -> list[psutil.Process]:
        """Those of the world's controllers that are left, and their children."""
        named = str(self.study_file)
        return [p for p in psutil.process_iter(["cmdline"]) if named in (p.info["cmdline"] or ())]

    def _count(self, ended: Ended) -> int:
        """Trials that have ended in the eyes of the server; none while it is away."""
        with suppress(requests.RequestException):
            status = ["completed", "stopped", "failed"]
            tasks = self._client.call(
                "tasks.get_all", type=["training"], status=status, only_fields=["id", "status"], search_hidden=True
            )["tasks"]
            self._see_hold()
            ended.seen_completed |= {task["id"] for task in tasks if task["status"] == "completed"}
            return len(tasks)
        return 0

    def _see_hold(self) -> None:
        life = self._controller
        if life is not None and life.held_at is None:
            mine = re.compile(rf"\S+ pid {life.process.pid} since (\S+) .*")
            found = [mine.fullmatch(properties.get("holder", "")) for properties in self._studies()]
            since = [datetime.fromisoformat(match[1]).timestamp() for match in found if match]
            assert all(life.began_at <= moment <= time.time() for moment in since)
            life.held_at = max(since, default=None)

    def _studies(self) -> list[dict[str, str]]:
        """The user properties of each."""
        found = self._client.call("tasks.get_all", type=["optimizer"], only_fields=["hyperparams.properties"])["tasks"]
        return [user_properties(study["hyperparams"]) for study in found]

    def _strike(self, blow: Blow, storm: Storm, which: int, ended: Ended) -> bool:
        """Kills the target if it is old enough; the server comes back on the same ports."""
        if blow.target in _OF_A_CONTROLLER:
            if self._controller is None or self._controller.age_s < blow.age_s:
                return False
            if blow.target == "terminal":
                self._hang_up(ended)
                return True
            self._controller.kill()
            ended.unnoticed_s += min(self._buried(ended), FIRST_RENEWAL_S)
            return True
        time.sleep(blow.age_s)
        if blow.target == "proxy":
            self._proxy.lies += 1 + which % _MOST_LIES
            return True
        if blow.target == "worker":
            victim = random.Random(f"{storm.seed} {which}").randrange(self._worker_count)
            self._workers[victim].kill()
            return True
        os.kill(self.server.pid, signal.SIGKILL)
        address, self.server = self.server.address, embedded.start(self.folder / "server")
        assert self.server.address == address, "another process took its ports: nobody would find it"
        return True

    def _hang_up(self, ended: Ended) -> None:
        """Closes the terminal of the controller, which ends its trials and itself."""
        assert self._controller is not None
        process = self._controller.process
        process.send_signal(signal.SIGHUP)
        code = process.wait(_ENDS_WITHIN_S)
        said = self.log_tail()
        if code not in _ENDED_BY_SIGHUP and _NOBODY_ANSWERS not in said:
            ended.exits.append((code, said))
        self._buried(ended)

    def _buried(self, ended: Ended, until: float | None = None) -> float:
        """Forgets the controller; the seconds that it held the study, ``until`` it began to end it, or now."""
        assert self._controller is not None
        held_at = self._controller.held_at
        held_s = 0.0 if held_at is None else (time.time() if until is None else until) - held_at
        ended.driven_s += held_s
        self._controller = None
        return held_s

    def _drive(self, ended: Ended) -> int | None:
        """Has a controller drive the study; the exit code of one that has just ended by itself."""
        if self._controller is None:
            self._controllers += 1
            log = self.folder / f"controller-{self._controllers}.log"
            self._controller = Life(
                self._start(["-m", "clearml_hpo", *self._words()], log, CLEARML_API_HOST=self._proxy.url)
            )
            return None
        code = self._controller.process.poll()
        if code is not None:
            stopping = [float(study["stopping"]) for study in self._studies() if study.get("stopping")]
            self._buried(ended, max(stopping, default=None))
        return code

    def _words(self) -> Sequence[str]:
        """What a controller is started with."""
        return ["run", str(self.study_file)]

    def _revive(self) -> None:
        """Starts the workers that are not there."""
        for index in range(self._worker_count):
            life = self._workers.get(index)
            if life is None or life.process.poll() is not None:
                command = ["-m", "tests.chaos.worker", QUEUE, f"chaos:{index}", *self._training]
                self._workers[index] = Life(self._start(command, self.folder / f"worker-{index}.log"))

    def _start(self, arguments: Sequence[str], log: Path, **environ: str) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={**self._environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # the tests may run under nohup
            )


class Client:
    """A caller that is told at once when nobody answers."""

    def __init__(self, server: RunningServer) -> None:
        self._url = server.address.api
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.auth = (server.address.access_key, server.address.secret_key)

    def call(self, endpoint: str, **data: Any) -> dict[str, Any]:
        answer = self._session.post(f"{self._url}/{endpoint}", json=data, timeout=10)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()["data"]
        return found


def rows(attempts: Mapping[int, Sequence[Attempt]]) -> Iterator[str]:
    """For the message of a test that fails."""
    for number, of_trial in attempts.items():
        yield f"{number}: " + ", ".join(f"{one.attempt} {one.status}/{one.state} {one.task_id[:6]}" for one in of_trial)
