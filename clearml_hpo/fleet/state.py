"""What a fleet is to run, and what it runs: two small JSON files that outlive the supervisor.

::

    <home>/agents/<fleet>/plan.json        what to run; mode 0600, for it may hold the server's keys
                          fleet.json       what runs, written by the supervisor at each change
                          supervisor.log
                          <slot>.log       one per agent
                          <slot>/          where that agent's task is put
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from clearml_hpo.core.errors import InputError
from clearml_hpo.fleet.slots import AgentSlot
from clearml_hpo.machine.processes import ProcessId
from clearml_hpo.machine.settings import ServerAddress

_Made = TypeVar("_Made")


@dataclass(frozen=True)
class AgentState:
    """One agent of a fleet, as its supervisor saw it last.

    Attributes:
        phase: ``starting``, ``idle``, ``busy``, ``leaving``, ``waiting`` (died, is started again soon),
            ``failed`` (died too often, given up) or ``ended``.
        task: the task that it runs.
        note: why it is in this phase, if there is more to say.
    """

    slot: AgentSlot
    worker_id: str
    phase: str
    process: ProcessId | None
    restarts: int
    task: str | None
    log: Path
    note: str = ""

    @property
    def pid(self) -> int | None:
        """The daemon's pid; None while there is none."""
        return self.process.pid if self.process else None


@dataclass(frozen=True)
class Fleet:
    """A supervisor and its agents.

    Attributes:
        gates: ids of the queues that it holds closed at this moment (see ``queues.py`` and ``leaving.py``).
        tmp: temporary folder of all its agents.
    """

    name: str
    supervisor: ProcessId
    agents: tuple[AgentState, ...]
    gates: tuple[str, ...] = ()
    tmp: Path | None = None

    @property
    def pid(self) -> int:
        """The supervisor's pid."""
        return self.supervisor.pid

    @property
    def slots(self) -> tuple[AgentSlot, ...]:
        """What the agents serve."""
        return tuple(agent.slot for agent in self.agents)

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``from_json`` takes them back."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return plain

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Fleet:
        """From what ``to_json`` gave."""
        return cls(
            name=plain["name"],
            supervisor=ProcessId(**plain["supervisor"]),
            agents=tuple(_agent_from_json(agent) for agent in plain["agents"]),
            gates=tuple(plain["gates"]),
            tmp=Path(plain["tmp"]) if plain["tmp"] else None,
        )


@dataclass(frozen=True)
class Plan:
    """What a supervisor is started with; ``server`` is None for the one that is configured."""

    name: str
    slots: tuple[AgentSlot, ...]
    server: ServerAddress | None = None
    venv: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``from_json`` takes them back."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Plan:
        """From what ``to_json`` gave."""
        server = plain["server"]
        return cls(
            name=plain["name"],
            slots=tuple(_slot_from_json(slot) for slot in plain["slots"]),
            server=ServerAddress(**server) if server else None,
            venv=plain["venv"],
        )


class FleetFolder:
    """Where one fleet keeps its files."""

    def __init__(self, home: Path, name: str) -> None:
        if not name.replace("-", "").replace("_", "").isalnum():
            raise InputError(f"fleet name {name!r}: letters, digits, '-' and '_' only")
        self.name = name
        self.path = home / "agents" / name
        self.supervisor_log = self.path / "supervisor.log"
        self._fleet = self.path / "fleet.json"
        self._plan = self.path / "plan.json"

    def make(self) -> None:
        """Makes the folder, for its owner only: its logs have what tasks print, and the commands that run them."""
        _make(self.path)

    def log(self, slot_name: str) -> Path:
        """The log of one agent."""
        return self.path / f"{slot_name}.log"

    def write_plan(self, plan: Plan) -> None:
        """Leaves a plan for the supervisor."""
        _write(self._plan, plan.to_json())

    def read_plan(self) -> Plan | None:
        """The plan, if there is one that can be read."""
        return _read(self._plan, Plan.from_json)

    def write_fleet(self, fleet: Fleet) -> None:
        """Records what runs."""
        _write(self._fleet, fleet.to_json())

    def read_fleet(self) -> Fleet | None:
        """What was recorded last, whether it still runs or not; None if that is damaged, until it is written anew."""
        return _read(self._fleet, Fleet.from_json)

    def clear(self) -> None:
        """Forgets plan and fleet; the logs stay."""
        self._fleet.unlink(missing_ok=True)
        self._plan.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps others from bringing this fleet up or down at the same time."""
        self.make()
        with (self.path / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _slot_from_json(plain: dict[str, Any]) -> AgentSlot:
    gpus = plain["gpus"]
    return AgentSlot(plain["name"], plain["queue"], tuple(gpus) if gpus is not None else None)


def _agent_from_json(plain: dict[str, Any]) -> AgentState:
    process = plain["process"]
    return AgentState(
        **{
            **plain,
            "slot": _slot_from_json(plain["slot"]),
            "process": ProcessId(**process) if process else None,
            "log": Path(plain["log"]),
        }
    )


def _write(path: Path, plain: dict[str, Any]) -> None:
    _make(path.parent)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # made with mode 0600
    with os.fdopen(descriptor, "w") as file:
        json.dump(plain, file, indent=2)
    Path(name).replace(path)


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if stat.S_IMODE(folder.stat().st_mode) != 0o700:  # an earlier version has made it
        folder.chmod(0o700)


def _read(path: Path, made_of: Callable[[dict[str, Any]], _Made]) -> _Made | None:
    try:
        return made_of(json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
