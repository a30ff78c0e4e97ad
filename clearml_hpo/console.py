"""What the console of a program that has failed says of the reason."""

from __future__ import annotations

_TRACEBACK = "Traceback (most recent call last)"
_OF_THE_AGENT = ("Process failed, exit code",)
_NO_LOG_IN = (
    "clearml.backend_api.session.session.LoginError:",
    "ValueError: It seems *api_server* is misconfigured.",  # something else answers in its place
)


def last_words(output: str) -> str:
    """The exception of the last traceback, else the last line that is not clearml-agent's own; empty if there is none.

    >>> last_words("epoch 1\\nTraceback (most recent call last):\\n  File 'a.py'\\nValueError: depth\\n")
    'ValueError: depth'
    """
    lines = [line.rstrip() for line in output.splitlines() if line.strip() and not line.startswith(_OF_THE_AGENT)]
    starts = [i for i, line in enumerate(lines) if line.startswith(_TRACEBACK)]
    after = lines[starts[-1] + 1 :] if starts else []
    return next((line for line in after if not line.startswith((" ", "\t"))), lines[-1] if lines else "")


def could_not_log_in(words: str) -> bool:
    """Whether ClearML's SDK has ended a program because it could not log in, by its last words."""
    return words.startswith(_NO_LOG_IN)
