"""What the console of a program that has failed, or its exit code, says of the reason."""

from __future__ import annotations

import re
import signal

_TRACEBACK = "Traceback (most recent call last)"
_SAYS_NOTHING = ("Process failed, exit code", "Set the environment variable HYDRA_FULL_ERROR")
# All that clearml-agent says of a task that has failed.
_EXIT_CODE = re.compile(r"worker execution exit code (-?\d+)")
_DEADLY = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGBUS)
_NO_LOG_IN = (
    "clearml.backend_api.session.session.LoginError:",
    "ValueError: It seems *api_server* is misconfigured.",  # something else answers in its place
)


def last_words(output: str) -> str:
    """The exception of the last traceback, else the last line that says something; empty if there is none.

    >>> last_words("epoch 1\\nTraceback (most recent call last):\\n  File 'a.py'\\nValueError: depth\\n")
    'ValueError: depth'
    """
    lines = [line.rstrip() for line in output.splitlines() if line.strip() and not line.startswith(_SAYS_NOTHING)]
    starts = [i for i, line in enumerate(lines) if line.startswith(_TRACEBACK)]
    after = lines[starts[-1] + 1 :] if starts else []
    return next((line for line in after if not line.startswith((" ", "\t"))), lines[-1] if lines else "")


def agents_exit_code(reason: str) -> int | None:
    """The exit code that clearml-agent gives as the reason of a failure; None if ``reason`` is another one."""
    found = _EXIT_CODE.match(reason)
    return int(found[1]) if found else None


def signal_of(code: int) -> int:
    """The crash or SIGKILL that an agent's exit code stands for; 0 if it is the script's own.

    For signal 9 that is -9, 247 (the same, of a program around the script) or 137 (of a container or a shell).
    """
    return next((number for number in (-code, 256 - code, code - 128) if number in _DEADLY), 0)


def ended_by(number: int) -> str:
    """How a process has ended that signal ``number`` has ended."""
    known = number in set(signal.Signals)  # some of the real-time ones have no name
    name = f"{signal.Signals(number).name}, " if known else ""
    return f"ended by {name}signal {number}" + (" (was it out of memory?)" if number == signal.SIGKILL else "")


def with_signal(reason: str) -> str:
    """The reason of a failure, with the name of the signal in place of an agent's exit code."""
    number = signal_of(agents_exit_code(reason) or 0)
    return ended_by(number) if number else reason


def was_killed(reason: str) -> bool:
    """Whether a task failed because SIGKILL has ended it, by the reason that a worker or an agent gives."""
    return with_signal(reason).startswith(ended_by(signal.SIGKILL))


def could_not_log_in(words: str) -> bool:
    """Whether ClearML's SDK has ended a program because it could not log in, by its last words."""
    return words.startswith(_NO_LOG_IN)
