"""The agent for controllers: its unit by systemd, its compose file by the specification, its options by the agent."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml
from clearml_agent.interface import get_parser

from deploy.check import Report, tools

_PROGRAM = "%h/hpo/bin/clearml-agent "


def check(folder: Path) -> Report:
    """Checks both files of ``services/``, and that they start the same agent."""
    unit, compose = folder / "services/clearml-agent-services.service", folder / "services/compose.yaml"
    faults = [
        *(f"{unit.name}: {fault}" for fault in _of_unit(unit)),
        *(f"{compose.name}: {fault}" for fault in _of_compose(compose)),
    ]
    return Report("1 unit by systemd, 1 compose file by its specification; clearml-agent reads their options", faults)


def _of_unit(path: Path) -> Iterator[str]:
    text = path.read_text()
    _, found, rest = text.partition(f"\nExecStart={_PROGRAM}")
    if not found:
        yield f"it does not start {_PROGRAM.strip()}"
        return
    yield from _of_words(shlex.split(rest.partition("\n")[0]))
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary) / path.name
        here.write_text(text.replace(_PROGRAM, f"{sys.executable} "))  # systemd looks whether the program is there
        home = f"XDG_RUNTIME_DIR={temporary}"
        done = tools.run(["env", home, _program("systemd-analyze"), "--user", "verify", here])
    yield from (line for line in (done.stdout + done.stderr).splitlines() if path.name in line)


def _of_compose(path: Path) -> Iterator[str]:
    done = tools.run([_program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", "-o", "json", path])
    if done.returncode:
        found = json.loads(done.stdout)
        yield from (f"{error['path']}: {error['message']}" for error in found.get("errors", ()))
        yield from (f"not read: {error}" for error in found.get("parse_errors", ()))
        return
    for service in yaml.safe_load(path.read_text())["services"].values():
        if service.get("entrypoint") != ["clearml-agent"]:
            yield f"entrypoint: {service.get('entrypoint')}"
        yield from _of_words(service["command"])


def _of_words(words: list[str]) -> Iterator[str]:
    """What the agent's own parser says of options."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            given = get_parser().parse_args(words)
    except SystemExit:
        yield said.getvalue().strip().rpartition("\n")[2]
        return
    if not (given.services_mode and given.foreground and [queue.name for queue in given.queues] == ["services"]):
        yield f"not a services agent of the queue services: {shlex.join(words)}"


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/bin")
    if found is None:
        raise tools.Unavailable(f"{name} is not installed")
    return found
