"""What there is on this machine."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from clearml_hpo.core.errors import InputError
from clearml_hpo.machine import settings
from clearml_hpo.machine.environ import usable_cores
from clearml_hpo.machine.gpus import detect_gpus

_SYSTEMD_RUNS = Path("/run/systemd/system")
_PATHS = ("CLEARML_CONFIG_FILE", "CLEARML_HPO_HOME")


@dataclass(frozen=True)
class Machine:
    """What the files depend on.

    Attributes:
        host: its name.
        gpus: as ``gpus.detect_gpus`` finds them.
        cores: that this process may use.
        memory_gib: of the machine.
        user: whom the daemons run as.
        uid: that user's number.
        config_file: the clearml.conf of that user.
        has_config: whether it is there.
        python: the interpreter that has this package.
        environ: variables that name files, and that this process was given; keys are never among them.
        has_systemd: whether systemd runs.
        has_docker: whether there is a ``docker`` command.
        has_gpu_runtime: whether containers can be given GPUs.
    """

    host: str
    gpus: tuple[str, ...]
    cores: int
    memory_gib: int
    user: str
    uid: int
    config_file: Path
    python: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    has_config: bool = True
    has_systemd: bool = True
    has_docker: bool = True
    has_gpu_runtime: bool = True

    def __str__(self) -> str:
        gpus = f"{len(self.gpus)} GPU(s): {', '.join(self.gpus)}" if self.gpus else "no GPU that nvidia-smi lists"
        there = {
            "systemd": self.has_systemd,
            "docker": self.has_docker,
            "NVIDIA container toolkit": self.has_gpu_runtime,
        }
        names = ", ".join(name if is_there else f"no {name}" for name, is_there in there.items())
        return f"{self.host}: {gpus}; {self.cores} cores, {self.memory_gib} GiB; {names}"


def is_root() -> bool:
    """Whether what this process writes belongs to root."""
    return os.geteuid() == 0


def inspect(user: str | None = None) -> Machine:
    """Looks.

    Args:
        user: whom the daemons are to run as; None for the user of this process.

    Raises:
        InputError: there is no such user.
    """
    environ = settings.child_environ()
    try:
        account = pwd.getpwnam(user) if user else pwd.getpwuid(os.getuid())
    except KeyError:
        raise InputError(f"--run-as: there is no user {user or os.getuid()!r} on this machine") from None
    is_other = account.pw_uid != os.getuid()
    config_file = Path(account.pw_dir) / "clearml.conf" if is_other else settings.config_file()
    return Machine(
        host=socket.gethostname(),
        gpus=detect_gpus(),
        cores=usable_cores(),
        memory_gib=round(psutil.virtual_memory().total / 2**30),
        user=account.pw_name,
        uid=account.pw_uid,
        config_file=config_file,
        python=Path(sys.executable),
        environ={} if is_other else {name: _absolute(environ[name]) for name in _PATHS if environ.get(name)},
        has_config=_is_file(config_file),
        has_systemd=_SYSTEMD_RUNS.is_dir(),
        has_docker=shutil.which("docker") is not None,
        has_gpu_runtime=shutil.which("nvidia-container-runtime") is not None or shutil.which("nvidia-ctk") is not None,
    )


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError:  # another user's
        return False
