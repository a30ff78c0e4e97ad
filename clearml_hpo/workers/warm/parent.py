"""A warm parent: ``python -u -m clearml_hpo.workers.warm.parent DESCRIPTOR``, controlled over a socket.

Messages to it: ``prepare`` (once), ``fork``, ``go`` (the watchdog knows of the child: it may begin), ``reap`` (nothing
of the child runs any more: its pid may go), ``drop`` (the child is not to begin). From it: ``ready``, ``forked``,
``refused``, ``ended``. It has one thread, touches no GPU, and ends when the socket is closed. The watchdog then ends
the children that have begun.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearml_hpo.workers import checkout
from clearml_hpo.workers.warm import child, imports, sdk
from clearml_hpo.workers.warm.channel import Channel
from clearml_hpo.workers.warm.child import ForkRequest
from clearml_hpo.workers.warm.sources import own_sources

UNSAFE = ("tensorflow", "jax", "grpc", "ray", "pyspark", "jpype", "mxnet", "cudf", "cuml")
"""Libraries whose threads or devices do not survive a fork, though no check from outside shows it."""


@dataclass
class _Child:
    """A forked process.

    Attributes:
        gate: descriptor that lets it begin; None once it has.
        has_ended: True if its end was reported, and its pid is still kept.
    """

    pid: int
    gate: int | None
    has_ended: bool = False


class Parent:
    """Forks on demand until the socket is closed."""

    def __init__(self, channel: Channel, wake: int, own: tuple[int, ...]) -> None:
        """``wake`` becomes readable when a child has ended; children close their copies of ``own``."""
        self._channel = channel
        self._wake = wake
        self._own = own
        self._children: dict[int, _Child] = {}
        self._handlers: Mapping[str, Callable[[Any], Callable[[], None] | None]] = {
            "fork": self._fork,
            "go": self._go,
            "drop": self._drop,
            "reap": self._reap,
        }

    def serve(self) -> Callable[[], None] | None:
        """Handles messages. Returns None when the socket is closed; in a forked child, the function that runs it."""
        while not self._channel.closed:
            ready, _, _ = select.select([self._channel.fileno(), self._wake], [], [])
            if self._wake in ready:
                os.read(self._wake, 4096)
                self._notice()
            if self._channel.fileno() in ready:
                for message in self._channel.received():
                    for name, body in message.items():
                        if (child_main := self._handlers[name](body)) is not None:
                            return child_main
        return None

    def _fork(self, body: Mapping[str, Any]) -> Callable[[], None] | None:
        request = ForkRequest(**body)
        hold, gate = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:  # no memory, or too many processes
            os.close(hold)
            os.close(gate)
            self._channel.send(refused=request.run, reason=f"it cannot be forked: {error.strerror}")
            return None
        if not pid:
            others = [*self._own, gate, *(each.gate for each in self._children.values() if each.gate is not None)]
            return lambda: child.main(request, hold, others)
        os.close(hold)
        self._children[request.run] = _Child(pid, gate)
        self._channel.send(forked=request.run, pid=pid)
        return None

    def _go(self, run: int) -> None:
        gate = self._children[run].gate
        if gate is not None:
            with contextlib.suppress(BrokenPipeError):  # it was killed meanwhile
                os.write(gate, b"!")
            self._drop(run)

    def _drop(self, run: int) -> None:
        """Closes the gate of a child; one that has not begun then ends."""
        found = self._children[run]
        if found.gate is not None:
            os.close(found.gate)
            found.gate = None

    def _reap(self, run: int) -> None:
        self._drop(run)
        os.waitpid(self._children.pop(run).pid, 0)

    def _notice(self) -> None:
        """Reports which children have ended; their pids are kept until ``reap``."""
        for run, found in self._children.items():
            if found.has_ended:
                continue
            status = os.waitid(os.P_PID, found.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if status is not None:
                found.has_ended = True
                code = status.si_status if status.si_code == os.CLD_EXITED else -status.si_status
                self._channel.send(ended=run, code=code)


def prepare(words: list[str], folders: list[str], plan: str) -> str:
    """Imports what the script will import first. Returns why this process must not be forked, or an empty string.

    Args:
        words: arguments for Python; empty if ``plan`` has them.
        folders: the working directory, and others in which the script looks for modules; empty if ``plan`` has them.
        plan: file of a ``CheckoutPlan``; empty for none.
    """
    before = _open()
    roots = [*map(Path, folders)]
    if plan:
        try:
            words, roots = _checked_out(checkout.CheckoutPlan.read(Path(plan)))
        except checkout.CheckoutError:  # the run will fail with it
            return ""
    if not _is_program(words):
        return f"{' '.join(words)!r} is neither a script nor a module"
    file = _file_of(words, roots)
    if file is not None and words[0] != "-m":
        roots = [file.resolve().parent, *roots]  # where the script looks first
    if file is not None and file.is_dir():
        return f"{words[0]!r} is a folder"
    if file is not None and file.is_file():
        _import_ahead(file, roots)
    if shadowed := imports.shadowed(sys.modules, roots):
        return f"its own module {shadowed!r} has the name of one that is loaded before it"
    gc.collect()
    gc.freeze()  # the collector leaves these objects alone, so that the children share their memory
    return why_not(before)


def _checked_out(plan: checkout.CheckoutPlan) -> tuple[list[str], list[Path]]:
    """Checks the code out; the arguments for Python, and the folders where it finds modules."""
    root = checkout.make_tree(plan)
    return checkout.arguments(plan.entry_point, root), [root, Path(plan.tree)]


def _is_program(words: list[str]) -> bool:
    return bool(words) and (not words[0].startswith("-") or (words[0] == "-m" and len(words) > 1))


def _import_ahead(file: Path, roots: list[Path]) -> None:
    for found in imports.leading_imports(file.read_bytes(), roots):
        imports.load(found)
    sdk.preload(own_sources(file, roots))


def why_not(before: Collection[str]) -> str:
    """Why this process must not be forked; empty if it may.

    Args:
        before: what was open before the imports, as :func:`_open` returns it.
    """
    if known := sorted(set(UNSAFE) & set(sys.modules)):
        return f"{known[0]} does not survive a fork"
    opened = [found for found in _open() if found not in before]
    if any(found.startswith("/dev/nvidia") for found in opened):
        return "its imports have taken a GPU"
    if any(found.startswith("socket:") for found in opened):
        return "its imports have opened a connection"
    # Some libraries, such as OpenBLAS, end their threads at a fork. So: one fork, then a look.
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
        return "its imports have started processes"
    threads = len(_entries("/proc/self/task"))
    return f"its imports have started {threads - 1} thread(s)" if threads > 1 else ""


def _open() -> set[str]:
    """The files that this process has open: paths, or names such as ``socket:[1234]``."""
    found = set()
    for name in _entries("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(str(Path(f"/proc/self/fd/{name}").readlink()))
    return found


def _entries(folder: str) -> list[str]:
    with contextlib.suppress(OSError):
        return [path.name for path in Path(folder).iterdir()]
    return []


def _file_of(words: list[str], roots: list[Path]) -> Path | None:
    """The script's file; None for a module that is in none of ``roots``."""
    if words[0] != "-m":
        return roots[0] / words[0]
    within = Path(*words[1].split("."))
    candidates = [root / path for root in roots for path in (within.with_suffix(".py"), within / "__main__.py")]
    return next((path for path in candidates if path.is_file()), None)


def main(descriptor: str) -> None:
    """Runs a parent. In a forked child it does not return: the child ends as its script does."""
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]  # where this was started, which is no script's place
    end = socket.socket(fileno=int(descriptor))
    channel = Channel(end)
    first = channel.received(wait=True)
    if not first:
        return
    reason = prepare(**first[0]["prepare"])
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    channel.send(ready=reason)
    child_main = Parent(channel, wake, (end.fileno(), wake, waker)).serve()
    if child_main is None:
        os._exit(0)
    child_main()


if __name__ == "__main__":
    main(sys.argv[1])
