"""Why a program failed: the last words of its console, or the signal in its exit code."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence

_TRACEBACK = "Traceback (most recent call last)"
_OF_A_LAUNCHER = (
    "subprocess.CalledProcessError:",
    "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:",
)
_SAYS_NOTHING = ("Process failed, exit code", "Set the environment variable HYDRA_FULL_ERROR")
_BOILERPLATE = re.compile(
    r"^ClearML (Task|results|Monitor|resource)| - clearml\.\w+ - \w+ - "
    r"|^CLEARML-SERVER|^(TRAINS|ClearML) .*version|HYDRA_FULL_ERROR"
    r"|^Error executing job with overrides|^\(Pdb\)|^> .*\(\d+\)|^Process failed, exit code|Warning: "
)
_WARNING = re.compile(r"^\S+:\d+: \w*Warning: ")
_OF_A_LIBRARY = re.compile(r'File ".*(site-packages|dist-packages|lib/python3|<frozen )')
# All that clearml-agent reports of a task that failed.
_EXIT_CODE = re.compile(r"worker execution exit code (-?\d+)")
_DEADLY = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGBUS)
_NO_LOG_IN = (
    "clearml.backend_api.session.session.LoginError:",
    "ValueError: It seems *api_server* is misconfigured.",  # something else answers in its place
)


def last_words(output: str) -> str:
    """The exception of the last traceback, else the last line with information; empty if there is none.

    >>> last_words("epoch 1\\nTraceback (most recent call last):\\n  File 'a.py'\\nValueError: depth\\n")
    'ValueError: depth'
    """
    lines = [line.rstrip() for line in output.splitlines() if line.strip() and not line.startswith(_SAYS_NOTHING)]
    if found := _last_traceback(lines):
        return _exception(found)
    return next((line for line in reversed(lines) if not _BOILERPLATE.search(line)), "")


def _last_traceback(lines: Sequence[str]) -> Sequence[str]:
    """The last traceback, and what follows; that of a launcher, which only says that the script failed, is left out."""
    starts = [i for i, line in enumerate(lines) if line.startswith(_TRACEBACK)]
    tracebacks = [lines[start:end] for start, end in zip(starts, [*starts[1:], len(lines)], strict=False)]
    own = [traceback for traceback in tracebacks if not _exception(traceback).startswith(_OF_A_LAUNCHER)]
    return (own or tracebacks)[-1] if tracebacks else []


def _exception(traceback: Sequence[str]) -> str:
    return next((line for line in traceback[1:] if not line.startswith((" ", "\t"))), traceback[-1])


def what_matters(log: str, most: int = 20) -> str:
    """The end of a console that says why a script failed: its last traceback, else its last lines.

    Lines that say nothing of it are left out: ClearML's and Hydra's own, pdb's, warnings, and the frames of libraries
    in a traceback.
    """
    lines = [line.rstrip() for line in log.splitlines()]
    warned = {i + 1 for i, line in enumerate(lines) if _WARNING.search(line)}
    lines = [
        line
        for i, line in enumerate(lines)
        if line and not _BOILERPLATE.search(line) and not (i in warned and line.startswith("  "))
    ]
    if traceback := _last_traceback(lines):
        lines = [*_own_frames(traceback)]
    return "\n".join([*lines[:1], "  ...", *lines[-most + 2 :]] if len(lines) > most else lines)


def _own_frames(traceback: Sequence[str]) -> Iterator[str]:
    """A traceback without frames of libraries; all that follows its frames stays."""
    is_skipped = False
    for line in traceback:
        if line.startswith("  File "):
            is_skipped = bool(_OF_A_LIBRARY.search(line))
        elif not line.startswith("    "):
            is_skipped = False
        if not is_skipped:
            yield line


def agents_exit_code(reason: str) -> int | None:
    """The exit code in the reason that clearml-agent gives for a failure; None if ``reason`` is not the agent's."""
    found = _EXIT_CODE.match(reason)
    return int(found[1]) if found else None


def signal_of(code: int) -> int:
    """The number of the signal (a crash or SIGKILL) that an exit code stands for; 0 if it stands for none.

    For signal 9 that is -9, 247 (from a program around the script) or 137 (from a container or a shell).
    """
    return next((number for number in (-code, 256 - code, code - 128) if number in _DEADLY), 0)


def ended_by(number: int) -> str:
    """The reason of a failure by signal ``number``."""
    known = number in set(signal.Signals)  # some of the real-time ones have no name
    name = f"{signal.Signals(number).name}, " if known else ""
    return f"ended by {name}signal {number}" + (" (was it out of memory?)" if number == signal.SIGKILL else "")


def with_signal(reason: str) -> str:
    """The reason of a failure, with the name of the signal in place of an agent's exit code."""
    number = signal_of(agents_exit_code(reason) or 0)
    return ended_by(number) if number else reason


def was_killed(reason: str) -> bool:
    """True if SIGKILL ended a task, by the reason that a worker or an agent gives."""
    return with_signal(reason).startswith(ended_by(signal.SIGKILL))


def could_not_log_in(words: str) -> bool:
    """True if ClearML's SDK ended a program because it could not log in, by the program's last words."""
    return words.startswith(_NO_LOG_IN)
