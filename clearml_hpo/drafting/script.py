"""All that is found in a script."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from clearml_hpo.drafting import arguments, commands, connected, hydra, metrics
from clearml_hpo.drafting.found import Findings, Found
from clearml_hpo.drafting.source import Program, keyword

_READERS: tuple[Callable[[Program], Iterable[Found | str]], ...] = (
    arguments.options,
    commands.click_options,
    commands.fire_parameters,
    commands.typer_parameters,
    hydra.composed,
    connected.connected,
    connected.configurations,
)
"""Each yields hyperparameters, and a line for each that cannot be read."""

NO_TASK = "{}: it never calls Task.init: add `from clearml import Task` and `task = Task.init()` where it begins"


def read_script(path: Path, root: Path | None = None) -> Findings:
    """Reads a script, and the modules beside it that it imports, without running it.

    Args:
        root: the folder that its imports begin in; its own without.

    Raises:
        InputError: it cannot be read, or is no Python.
    """
    return read_program(Program(path, root or path.parent))


def read_program(program: Program) -> Findings:
    """Reads a script and the modules beside it."""
    found: dict[str, Found] = {}
    gaps: list[str] = []
    for reader in _READERS:
        for one in reader(program):
            if isinstance(one, str):
                gaps.append(one)
            else:
                found.setdefault(one.name, one)
    again = [one.bare for one in found.values() if one.flag and not one.name.startswith(arguments.ARGS)]
    reported, unnamed = metrics.reported(program)
    return Findings(
        tuple(found.values()),
        tuple(reported),
        tuple(dict.fromkeys(gaps)),
        tuple(unnamed),
        tuple(_before(program)),
        _project(program),
        program.libraries,
        found.keys() & {f"{arguments.ARGS}{name}" for name in again},
    )


def _before(program: Program) -> Iterator[str]:
    """What must change in a script before a study can run."""
    if not any(source.dotted(call.func).endswith("Task.init") for source in program.sources for call in source.calls):
        yield NO_TASK.format(program.main.path.name)


def _project(program: Program) -> str:
    """The project that ``Task.init`` names; empty if none, or only when the script runs."""
    for source in program.sources:
        for call in source.calls:
            if source.dotted(call.func).endswith("Task.init"):
                node = keyword(call, "project_name", 0)
                value = program.entry(source, node) if isinstance(node, ast.expr) else None
                return value if isinstance(value, str) else ""
    return ""
