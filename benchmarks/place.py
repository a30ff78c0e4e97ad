"""Where benchmarks run: a temporary folder with a server of its own; and what their results say of the machine."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from clearml_hpo.machine.environ import usable_cores
from clearml_hpo.machine.processes import end_session, identify
from clearml_hpo.machine.settings import ServerAddress
from clearml_hpo.server import process as server_process
from clearml_hpo.server.state import DataDir, Listening

if TYPE_CHECKING:
    from clearml_hpo.backend.api import Api

NO_OP = Path(__file__).with_name("no_op.py")
PROJECT = "benchmarks"
# Nobody listens there: what the programs would ask outside this machine is refused at once.
_NO_NETWORK = "http://127.0.0.1:9"
_POLL_S = 0.05
_PARAMS: Mapping[str, float | int] = {"x": 0.5, "depth": 4}


@dataclass(frozen=True)
class Place:
    """A folder, and the server that runs in it for as long as the benchmark does."""

    folder: Path
    server: ServerAddress


@contextmanager
def temporary_place() -> Iterator[Place]:
    """Makes it, and this process and its children use it; enter before ``clearml`` is imported.

    Nothing of the person's own ClearML settings counts. SIGTERM ends the benchmark as Ctrl-C does.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    with tempfile.TemporaryDirectory(prefix="clearml-hpo-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        _use_home(folder / "home")
        data = DataDir(folder / "server")
        data.make()
        # A server first tries the ports it had the last time: 0 makes it take free ones.
        data.note(Listening(pid=0, host="127.0.0.1", api=0, files=0, web=0))
        try:
            server = server_process.start(data.path, with_parent=True).address
            os.environ.update(server.environ())
            yield Place(folder, server)
        finally:
            server_process.stop(data.path)


def make_template(api: Api, script: Path = NO_OP, params: Mapping[str, float | int] = _PARAMS) -> str:
    """Id of a template task of a script that has run once, with these parameters, as one that a person has tried."""
    from clearml_hpo.backend.names import ensure_project
    from clearml_hpo.backend.template import create_template
    from clearml_hpo.scripts.code import collect
    from clearml_hpo.scripts.entry import Entry

    code = collect(Entry(script, script.parent))
    task_id = create_template(api, code, ensure_project(api, PROJECT)).task_id
    entries = [
        {"section": "General", "name": name, "type": type(value).__name__, "value": str(value)}
        for name, value in params.items()
    ]
    api.call("tasks.edit_hyper_params", task=task_id, hyperparams=entries)
    api.call("tasks.started", task=task_id)
    event = {"type": "training_stats_scalar", "metric": "validation", "variant": "loss", "value": 0.7, "iter": 4}
    api.send_events([{**event, "task": task_id, "timestamp": int(time.time() * 1000)}])
    api.call("tasks.completed", task=task_id)
    return task_id


@dataclass(frozen=True)
class Ran:
    """How a program ended.

    Attributes:
        code: its exit status; None if its time was up.
        cpu_s: processor seconds of its process and of those that this one has waited for.
        memory_mb: the most that its process had.
    """

    code: int | None
    wall_s: float
    cpu_s: float
    memory_mb: int


def run_timed(command: Sequence[str], log: Path, timeout_s: float) -> Ran:
    """Runs a program for ``timeout_s`` seconds at most, its output in ``log``; nothing of it is left running."""
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    leader = identify(process.pid)
    pid = 0
    try:
        while not pid and time.monotonic() - started < timeout_s:
            time.sleep(_POLL_S)
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
    finally:
        wall_s = time.monotonic() - started
        end_session(leader)
    if not pid:
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    code = process.returncode if pid else None
    return Ran(code, wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024)


def surroundings() -> dict[str, Any]:
    """Versions, date and machine; the load is that of the minute before."""
    packages = ("clearml-hpo", "clearml", "clearml-agent", "optuna")
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cores": usable_cores(),
            "load_before": round(os.getloadavg()[0], 2),
        },
        "measured_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


@contextmanager
def variables(changes: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for processes that are started within the block."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def say(text: str) -> None:
    """For whoever waits; the result alone is on the standard output."""
    print(text, file=sys.stderr, flush=True)


def _use_home(home: Path) -> None:
    home.mkdir()
    conf = home / "clearml.conf"
    conf.write_text("# the defaults of ClearML\n")
    for name in [name for name in os.environ if name.startswith(("CLEARML", "TRAINS"))]:
        del os.environ[name]
    closed = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), _NO_NETWORK)
    around = dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost")
    own = {"HOME": str(home), "CLEARML_CONFIG_FILE": str(conf), "CLEARML_CACHE_DIR": str(home / "cache")}
    os.environ.update({**closed, **around, **own})


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
