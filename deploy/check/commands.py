"""Command lines of programs that files start: their options, by their own parsers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from clearml_hpo.cli import main


def faults(words: Sequence[str]) -> Iterator[str]:
    """What is wrong with a command; one of a program that is not known here is a fault."""
    try:
        if words[:2] == ["dask", "scheduler"]:
            from distributed.cli.dask_scheduler import main as scheduler

            _parse(scheduler, "scheduler", words[2:])
        elif words[:1] == ["clearml-hpo"]:
            _parse(main, "clearml-hpo", words[1:])
        else:
            yield f"{' '.join(words[:2])}: not a known program"
    except click.ClickException as error:
        yield error.format_message()


def _parse(command: Any, name: str, words: Sequence[str]) -> None:
    """Reads the options of a command, and those of the command within a group; runs nothing."""
    words = list(words)
    context = command.make_context(name, list(words))  # of a group only its name is before the next word
    while isinstance(command, click.Group):
        found, command, words = command.resolve_command(context, words)
        context = command.make_context(found, list(words), parent=context)
