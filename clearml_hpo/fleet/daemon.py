"""The command line and the environment of one ``clearml-agent daemon``.

The agent is the unmodified one; all that is special is in its environment. Settings of clearml.conf are
overridden by variables that begin with ``CLEARML_AGENT__``, so that a user's own clearml.conf stays in force;
the daemon hands the merged configuration to the tasks it runs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clearml_hpo.fleet.slots import AgentSlot
from clearml_hpo.machine.environ import FOREIGN, thread_limits
from clearml_hpo.machine.settings import ServerAddress, around_proxies
from clearml_hpo.scripts.startup import with_startup

TUNED: Mapping[str, str] = {
    # How often the daemon looks into an empty queue and after its task's process (default 5 s).
    "CLEARML_AGENT_QUEUE_POLL_FREQ_SEC": "0.5",
    # The SDK otherwise reports from a process of its own, whose end costs a short task some 12 s.
    "CLEARML_AGENT__SDK__DEVELOPMENT__REPORT_USE_SUBPROCESS": "false",
    # The daemon does not ask for a newer version of itself. A task's SDK still asks ClearML, in the background, and
    # only the message is left out.
    "CLEARML_AGENT__AGENT__DISABLE_AGENT_UPDATE_CHECK": "true",
    "CLEARML_SUPPRESS_UPDATE_MESSAGE": "1",
    # CUDA's own order is by speed; the indices of --gpus, as of nvidia-smi, are by bus.
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    # The supervisor reads the log as it is written.
    "PYTHONUNBUFFERED": "1",
}
"""What every agent of a fleet is started with, unless the environment says otherwise; agents/README.md has the
measured effect of each."""

NO_VENV: Mapping[str, str] = {
    # Tasks run in the agent's own Python: no virtual environment, no pip, no network.
    "CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL": "1",
}


@dataclass(frozen=True)
class Workplace:
    """What is one agent's own on this machine.

    Attributes:
        worker_id: ``host:name``, as the server and the web page show it.
        folder: where the code of its task is put; a second agent in it would delete the first one's.
        tmp: its temporary folder, so that agents of several fleets do not meet in their lock files.
    """

    worker_id: str
    folder: Path
    tmp: Path


def command(slot: AgentSlot) -> list[str]:
    """The daemon's command line."""
    device = ["--gpus", ",".join(slot.gpus)] if slot.gpus else ["--cpu-only"]
    daemon = ["daemon", "--foreground", "--create-queue", "--queue", slot.queue, *device]
    return [sys.executable, "-m", "clearml_agent", *daemon]


def environ(
    inherited: Mapping[str, str],
    slot: AgentSlot,
    place: Workplace,
    *,
    server: ServerAddress | None,
    threads: int,
    venv: bool = False,
) -> dict[str, str]:
    """The daemon's environment, which its tasks inherit.

    Args:
        inherited: the supervisor's own environment.
        slot: what the tasks may run on.
        place: what is this agent's own.
        server: which ClearML server; None for the one that ``inherited`` or a clearml.conf names.
        threads: how many threads a task without a GPU may start, unless ``inherited`` says it.
        venv: whether each task gets a virtual environment with the packages it asks for.
    """
    devices = ",".join(slot.gpus) if slot.gpus else "none"
    limits = thread_limits(threads) if slot.gpus is None else {}
    own = {
        "CLEARML_WORKER_ID": place.worker_id,
        "CLEARML_AGENT__AGENT__VENVS_DIR": json.dumps(str(place.folder)),
        "TMPDIR": str(place.tmp),
        # The agent sets these from --gpus too, except where it sees Kubernetes around it.
        "CUDA_VISIBLE_DEVICES": devices,
        "NVIDIA_VISIBLE_DEVICES": devices,
    }
    foreign = FOREIGN if server is None else FOREIGN | {"CLEARML_AUTH_TOKEN", "TRAINS_AUTH_TOKEN"}
    kept = {name: value for name, value in inherited.items() if name not in foreign}
    address = {**server.environ(), **around_proxies(server.api, inherited)} if server is not None else {}
    return with_startup({**limits, **TUNED, **({} if venv else NO_VENV), **kept, **address, **own})
