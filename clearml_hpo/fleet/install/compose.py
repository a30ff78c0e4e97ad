"""A compose file with a service for each GPU, one for the cores and one for controllers, and the image they share."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from clearml_hpo.core import yaml_documents
from clearml_hpo.deployment import files
from clearml_hpo.fleet.install.machine import Machine
from clearml_hpo.fleet.install.plan import Plan
from clearml_hpo.fleet.install.render import MARKER, render

FILE = "compose.yaml"
NAMES = (FILE, "Dockerfile")
_END_S = 60
"""Time that Docker waits for an agent beyond the time to drain: lost tasks are reported then."""


@dataclass(frozen=True)
class Service:
    """One container.

    Attributes:
        name: of the service; its host's name ends so.
        command: arguments of ``clearml-hpo``.
        gpu: which GPU of the machine it sees.
        cpu_shares: its weight among containers that want the cores; None for Docker's default, 1024.
    """

    name: str
    command: Sequence[str]
    gpu: str | None = None
    cpu_shares: int | None = None


def folder() -> Path:
    """Where the files go unless another place is named."""
    return Path("clearml-hpo-agents").absolute()


def services(plan: Plan) -> list[Service]:
    """What runs."""
    return [
        *(Service(_short(gpu), plan.on_gpu(_inside(gpu)), gpu) for gpu in plan.gpus),
        *[Service("cpu", plan.on_cpu(), cpu_shares=256)] * bool(plan.cpu),
        *[Service("services", plan.for_services())] * bool(plan.services),
    ]


def render_files(plan: Plan, machine: Machine) -> dict[str, str]:
    """Texts by file name."""
    compose = render(
        "compose.j2",
        services=services(plan),
        literal=_literal,
        host=machine.host,
        uid=machine.uid,
        config_file=machine.config_file,
        stop_s=int(plan.drain_s) + _END_S,
        shared_gib=max(1, machine.memory_gib // 2),
    )
    image = files.render(
        "Dockerfile.j2",
        header=f"# {MARKER}.",
        user="agent",
        extras="catboost",
        build="docker compose build",
        number="the number of the user whose clearml.conf it reads",
        start="ENTRYPOINT",
    )
    return {FILE: compose, "Dockerfile": image}


def dropped(before: str, plan: Plan) -> list[str]:
    """Services that the file had before and that the plan lacks."""
    try:
        had = yaml_documents.load(before)["services"]
    except (yaml.YAMLError, ValueError, TypeError, KeyError):
        return []
    names = {service.name for service in services(plan)}
    return [name for name in had if name not in names]


def next_commands(place: Path) -> dict[str, str]:
    """What a user types then, and why."""
    where = f"docker compose -f {shlex.quote(str(place / FILE))}"
    return {f"{where} up -d --build --remove-orphans": "now, and at each boot; what has changed ends its task first"}


def stop_commands() -> dict[str, str]:
    """What a user types when the file is gone."""
    return {"docker compose -p clearml-hpo down": "each ends its task first"}


def _short(gpu: str) -> str:
    """``gpu0``; of a UUID the first block: a host's name has 63 characters."""
    if gpu.isdigit():
        return f"gpu{gpu}"
    kind, _, rest = gpu.lower().partition("-")
    return f"{kind}-{rest.partition('-')[0]}"


def _inside(gpu: str) -> str:
    """What a GPU is called where it is the only one."""
    return gpu if gpu.startswith("MIG-") else "0"


def _literal(text: str) -> str:
    """A string in YAML that compose does not look for variables in."""
    return json.dumps(text.replace("$", "$$"))
