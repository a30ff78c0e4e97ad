"""Units: a template for the GPUs, one for the cores, one for controllers, and the target that wants them all."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

import platformdirs

from clearml_hpo.fleet.install.files import Change
from clearml_hpo.fleet.install.machine import Machine
from clearml_hpo.fleet.install.plan import SERVICES_QUEUE, Plan
from clearml_hpo.fleet.install.render import render

TARGET = "clearml-hpo.target"
NAMES = (TARGET, "clearml-hpo-gpu@.service", "clearml-hpo-cpu.service", "clearml-hpo-services.service")
_SYSTEM_FOLDER = Path("/etc/systemd/system")
_END_S = 60
"""Time that systemd waits for an agent beyond the time to drain: lost tasks are reported then."""
_GPU = "THE-GPU"


def folder(system: bool) -> Path:
    """Where systemd looks for units that a user has written."""
    return _SYSTEM_FOLDER if system else platformdirs.user_config_path("systemd") / "user"


def units(plan: Plan) -> list[str]:
    """What runs: instances and services."""
    return [
        *(f"clearml-hpo-gpu@{gpu}.service" for gpu in plan.gpus),
        *["clearml-hpo-cpu.service"] * bool(plan.cpu),
        *["clearml-hpo-services.service"] * bool(plan.services),
    ]


def render_files(plan: Plan, machine: Machine, *, system: bool) -> dict[str, str]:
    """Texts by file name.

    Args:
        plan: what is to run.
        machine: where.
        system: for the system's manager, which then runs it as ``machine.user``, or for that of a user.
    """
    kind = "worker" if plan.warm else "agents"
    described: dict[str, tuple[str, list[str], int | None]] = {}
    if plan.gpus:
        command = plan.on_gpu(_GPU, f"unit-gpu{_GPU}")
        described["clearml-hpo-gpu@.service"] = (f"ClearML {kind} of queue {plan.queue} on GPU {_GPU}", command, None)
    if plan.cpu:
        described["clearml-hpo-cpu.service"] = (
            f"ClearML {kind} of queue {plan.cpu_queue} on the cores",
            plan.on_cpu("unit-cpu"),
            20,
        )
    if plan.services:
        described["clearml-hpo-services.service"] = (
            f"ClearML agents of queue {SERVICES_QUEUE}, which run controllers",
            plan.for_services("unit-services"),
            None,
        )
    services = {
        name: render(
            "service.j2",
            description=_instance(_escaped(description)),
            command=_command([str(machine.python), "-m", "clearml_hpo", *arguments]),
            cpu_weight=weight,
            environ=[_quoted(_escaped(f"{key}={value}")) for key, value in machine.environ.items()],
            stop_s=int(plan.drain_s) + _END_S,
            user=machine.user if system else None,
            has_gpus=_GPU in " ".join(arguments),
        )
        for name, (description, arguments, weight) in described.items()
    }
    wanted_by = "multi-user.target" if system else "default.target"
    return {TARGET: render("target.j2", units=units(plan), wanted_by=wanted_by), **services}


def dropped(before: str, plan: Plan) -> list[str]:
    """Units that the target wanted before and that the plan lacks."""
    wanted = re.findall(r"^Wants=(.*)$", before, re.MULTILINE)
    return [unit for unit in wanted if unit not in units(plan)]


def next_commands(
    machine: Machine, place: Path, changes: Sequence[Change], *, system: bool, ended: Sequence[str]
) -> dict[str, str]:
    """What a user types then, and why.

    Args:
        machine: where the units are to run.
        place: where they were written.
        changes: which.
        system: as for ``render_files``.
        ended: units that are to run no longer.
    """
    systemctl = "sudo systemctl" if system else "systemctl --user"
    commands: dict[str, str] = {}
    if place != folder(system):
        texts = " ".join(shlex.quote(str(change.path)) for change in changes)
        commands[f"{'sudo ' * system}install -D -m 644 -t {shlex.quote(str(folder(system)))} {texts}"] = ""
    if ended:
        commands[f"{systemctl} stop {' '.join(ended)}"] = "no longer wanted"
    commands[f"{systemctl} daemon-reload"] = ""
    commands[f"{systemctl} enable --now {TARGET}"] = "now, and at each boot"
    if any(change.word == "changed" and change.path.name != TARGET for change in changes):
        commands[f"{systemctl} restart {TARGET}"] = "each ends its task first"
    if not system:
        commands[f"sudo loginctl enable-linger {machine.user}"] = "also while no user is logged in"
    return commands


def stop_commands(removed: Collection[str], *, system: bool) -> dict[str, str]:
    """What a user types when files of units are gone."""
    systemctl = "sudo systemctl" if system else "systemctl --user"
    units = [TARGET] if TARGET in removed else [shlex.quote(name.replace("@", "@*")) for name in sorted(removed)]
    return {f"{systemctl} stop {' '.join(units)}": "each ends its task first", f"{systemctl} daemon-reload": ""}


def links(place: Path) -> list[Path]:
    """What ``enable`` has made in a folder of units."""
    return [path for path in place.glob(f"*.wants/{TARGET}") if path.is_symlink()]


def _command(words: Sequence[str]) -> str:
    return _instance(" ".join(_quoted(_escaped(word).replace("$", "$$")) for word in words))


def _escaped(text: str) -> str:
    """Systemd replaces ``%`` and a letter by something else; doubled it stands for itself."""
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    if re.fullmatch(r"[\w@%+=:,./-]+", word, re.ASCII):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _instance(text: str) -> str:
    return text.replace(_GPU, "%i")
