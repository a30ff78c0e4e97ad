"""Exit codes: the one table of which every ``--help`` and docs/get_started.md are made."""

from __future__ import annotations

import inspect
import re
from enum import IntEnum

import click


class Exit(IntEnum):
    """With what a command ends."""

    DONE = 0
    FAILED = 1
    BAD_INPUT = 2
    INTERRUPTED = 130


MEANINGS = {
    Exit.DONE: "done",
    Exit.FAILED: "failed",
    Exit.BAD_INPUT: "bad input",
    Exit.INTERRUPTED: "interrupted",
}
"""What they mean of every command; 1 also if no server answers."""

_OF_A_STUDY = {
    Exit.DONE: "the study is completed",
    Exit.FAILED: "it failed",
    Exit.INTERRUPTED: "it was stopped, or Ctrl-C",
}
_NOT_DELETED = {Exit.FAILED: "something could not be deleted"}

OWN: dict[str, dict[Exit, str]] = {
    "run": _OF_A_STUDY,
    "resume": _OF_A_STUDY,
    "watch": _OF_A_STUDY,
    "campaign run": {**_OF_A_STUDY, Exit.DONE: "the campaign is completed", Exit.FAILED: "a study failed"},
    "campaign resume": {**_OF_A_STUDY, Exit.DONE: "the campaign is completed", Exit.FAILED: "a study failed"},
    "init": {Exit.BAD_INPUT: "bad input, or the script must change before a study can run"},
    "convert": {Exit.BAD_INPUT: "bad input, or something must be filled in by hand"},
    "check": {Exit.DONE: "sound", Exit.BAD_INPUT: "not sound"},
    "notify test": {Exit.DONE: "all were sent", Exit.FAILED: "one was not"},
    "worker": {Exit.DONE: "it has left and all that it ran has ended", Exit.INTERRUPTED: "what ran was ended"},
    "study best": {Exit.FAILED: "there is no completed trial yet"},
    "study delete": _NOT_DELETED,
    "study keep": _NOT_DELETED,
    "study report": {Exit.FAILED: "something could not be fetched"},
    "agents status": {Exit.FAILED: "no agents run"},
    "agents install": {Exit.DONE: "done, or nothing to do", Exit.FAILED: "a file cannot be written"},
    "agents uninstall": {Exit.DONE: "done, or nothing there", Exit.FAILED: "a file cannot be removed"},
}
"""What they mean of some commands."""

OF_AN_END = {"completed": Exit.DONE, "failed": Exit.FAILED, "stopped": Exit.INTERRUPTED}
"""By how a study or campaign has ended."""


def epilog(command: str) -> str:
    """The line under a command's ``--help``."""
    said = {**MEANINGS, **OWN.get(command, {})}
    return f"Exit codes: {', '.join(f'{code:d} {meaning}' for code, meaning in said.items())}."


def add_epilogs(command: click.Command, name: str) -> None:
    """Has a command, or each one of a group, say its exit codes, and the group's list the first sentence of each."""
    command.short_help = command.short_help or _first_sentence(command.help or "")
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            add_epilogs(inner, f"{name} {inner.name}")
    else:
        command.epilog = epilog(name)


def _first_sentence(text: str) -> str:
    """Click would cut it after 45 characters."""
    paragraph = " ".join(inspect.cleandoc(text).split("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s", paragraph)[0]
