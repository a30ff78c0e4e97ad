"""The gateway of this machine's state directory: it notes itself; others start it, find it and end it.

Light to import: the commands that only look need nothing of the web framework.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clearml_hpo.core.errors import GatewayError
from clearml_hpo.gateway import state
from clearml_hpo.machine import background
from clearml_hpo.machine.locks import lock

_LOCK_S = 0.5
"""Longest wait for the lock of the folder: who only asks whether a gateway runs has it for a moment."""
_STARTS_S = 60.0
"""Longest wait for the next sign of progress of a gateway that starts."""
_ENDS_S = 150.0
"""Longest wait for a gateway that ends: open requests have 40 s, and then each study writes what workers have said."""
_ANSWERS_S = 10.0
"""Longest wait for an answer of a gateway that runs; one whose process has just died is back sooner."""


@dataclass(frozen=True)
class RunningGateway:
    """A gateway that runs, as it has noted itself.

    Attributes:
        pid: the process that holds the socket; it starts the one that serves.
        database: its URL without the password.
        option: what `--database` was given; None: what the environment says.
        server: the web address of ClearML's server.
    """

    pid: int
    url: str
    database: str
    option: str | None
    server: str


def log_file() -> Path:
    """Where a gateway in the background writes what it has to say; no token is in it."""
    return state.folder() / "gateway.log"


@contextlib.contextmanager
def only_one() -> Iterator[Callable[..., None]]:
    """Holds the folder for the gateway of this process; yields what notes it, by the attributes of
    :class:`RunningGateway`.

    Raises:
        GatewayError: another gateway runs there, or the folder cannot be made.
    """
    folder = state.folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise GatewayError(f"cannot use {folder} for the gateway: {error.strerror}") from None
    with (folder / "lock").open("w") as file:
        if not lock(file, _LOCK_S):
            running = find()
            where = f" ({running.url})" if running is not None else ""
            raise GatewayError(
                f"another gateway already runs on {folder}{where}; "
                "`clearml-hpo gateway status` shows it, `clearml-hpo gateway stop` ends it"
            )
        note = folder / "gateway.json"
        note.unlink(missing_ok=True)  # of one that was killed
        yield partial(_write, note)
        note.unlink(missing_ok=True)


def find() -> RunningGateway | None:
    """The gateway that runs; None if there is none, or it does not listen yet."""
    if not _is_locked():
        return None
    with contextlib.suppress(OSError, ValueError, TypeError):
        return RunningGateway(**json.loads((state.folder() / "gateway.json").read_text()))
    return None


def start(arguments: Sequence[str]) -> RunningGateway:
    """Starts a gateway in the background and waits until it answers; one that already runs is returned.

    Args:
        arguments: options of ``gateway run``.

    Raises:
        GatewayError: it does not come up; the message has its errors, or the end of its log.
    """
    state.folder().mkdir(parents=True, exist_ok=True, mode=0o700)
    child = None
    progress = background.Progress(log_file(), _STARTS_S, find)
    while progress.is_made(child):
        running = find()
        if running is not None and _answer(f"{running.url}/healthz") is not None:
            return running
        if background.has_ended(child) and not _is_locked():
            if child is not None:
                raise GatewayError(progress.why("the gateway ended at once"))
            child = background.launch(["gateway", "run", "--detached", *arguments], log_file())
        time.sleep(background.POLL_S)
    if child is not None and child.poll() is None:
        child.kill()
        child.wait()
    raise GatewayError(progress.why(f"the gateway does not answer, and is stuck for {_STARTS_S:g} s"))


def stop() -> bool:
    """Has the gateway end: it hands out no more, open requests are answered, what workers have said is written.

    Returns:
        Whether one was running.

    Raises:
        GatewayError: it does not end.
    """
    running = find()
    if running is None:
        return False
    if not background.end(running.pid, _ENDS_S):
        raise GatewayError(f"the gateway (process {running.pid}) does not end")
    return True


def faults_of(running: RunningGateway) -> Sequence[str]:
    """What keeps a gateway from working; empty if nothing does."""
    answer = _answer(f"{running.url}/readyz")
    if answer is None:
        return ["it does not answer"]
    return [str(fault) for fault in json.loads(answer)["faults"]]


def _answer(url: str) -> bytes | None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_ANSWERS_S) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:  # not ready: it says why
        return error.read()
    except (OSError, ValueError):
        return None


def _is_locked() -> bool:
    """Whether a gateway holds the folder; nothing is made where none ever was."""
    with contextlib.suppress(FileNotFoundError), (state.folder() / "lock").open("r+") as file:
        return not lock(file, 0)
    return False


def _write(note: Path, **noted: str | None) -> None:
    """The file is whole at any moment."""
    temporary = note.with_name(f"{note.name}.{os.getpid()}")
    temporary.write_text(json.dumps({"pid": os.getpid(), **noted}))
    temporary.replace(note)
