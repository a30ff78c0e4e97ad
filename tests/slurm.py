"""A real Slurm of one node, on the loopback interface, in a folder of its own.

It needs no systemd, no cgroups, no database, and no other Slurm of this machine. Its node takes four jobs of one core
and has two made-up GPUs, whatever the machine has. Jobs of the partition ``urgent`` preempt those of ``debug``, the
default; these wait again then.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from clearml_hpo.testing.executor_contract import eventually

CORES = 4
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "squeue", "sinfo", "setpriv")
_PATH = f"{os.environ['PATH']}:/usr/sbin"
_END_S = 30
_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
MailProg=/bin/true
SwitchType=switch/none
ReturnToService=2
OverTimeLimit=0
MinJobAge=300
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=64000 Gres=gpu:2 State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP GraceTime=5
PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP PriorityTier=10
"""
_GRES = "Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n"  # Slurm wants character devices


@dataclass(frozen=True)
class Slurm:
    """A running Slurm.

    Attributes:
        environ: variables with which Slurm's commands, and programs that call them, find it.
    """

    folder: Path
    environ: dict[str, str]

    def run(self, *command: str | Path, **environ: str) -> str:
        """What a command prints; variables that are given are those of the job, too.

        Raises:
            AssertionError: the command failed.
        """
        given = {**os.environ, **self.environ, **environ}
        done = subprocess.run([*map(str, command)], env=given, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def sbatch(self, *arguments: str | Path, **environ: str) -> str:
        """The id of a job."""
        return self.run("sbatch", "--parsable", *arguments, **environ).strip()

    def states(self, *jobs: str) -> dict[str, str]:
        """``RUNNING``, ``COMPLETED`` and the like by job (of an array: ``12_0``), also of those that have ended."""
        chosen = ["--jobs", ",".join(jobs)] if jobs else []
        lines = self.run("squeue", "--noheader", "--array", "--states=all", "--format=%i %T", *chosen).splitlines()
        return dict(line.split() for line in lines)

    def left(self) -> list[str]:
        """Jobs that wait, run or are about to end."""
        return self.run("squeue", "--noheader", "--format=%i %j %T").splitlines()

    def clear(self) -> None:
        """Ends all jobs at once."""
        for job in (line.split()[0] for line in self.left()):
            for how in ([], ["--full", "--signal=KILL"]):
                subprocess.run(["scancel", *how, job], env={**os.environ, **self.environ}, capture_output=True)
        eventually(lambda: not self.left(), "all jobs have ended", self.left)


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """A Slurm for all tests of this process; it ends its jobs at the end."""
    missing = [name for name in _PROGRAMS if not shutil.which(name, path=_PATH)]
    if missing:
        text = f"no {', '.join(missing)}: apt-get install --no-install-recommends slurm-wlm slurmctld slurmd munge"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(text)
    with started(tmp_path_factory.mktemp("place") / "slurm") as found:
        yield found


@contextmanager
def started(folder: Path) -> Iterator[Slurm]:
    """A Slurm that runs in the block, with its files in a folder."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = Slurm(folder, {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _PATH})
    _configure(folder)
    with ExitStack() as daemons:
        secret, socket_ = f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket"
        files = [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]
        daemons.callback(_end, _start(folder, "munged", "--foreground", "--force", secret, socket_, *files))
        eventually((folder / "munge.socket").exists, "munged listens", lambda: _log(folder, "munged"))
        for name in ("slurmctld", "slurmd"):
            daemons.callback(_end, _start(folder, name, "-D", "-f", str(folder / "slurm.conf")))
        eventually(lambda: _is_idle(found), "the node is idle", lambda: _log(folder, "slurmctld", "slurmd"))
        yield found
        found.clear()


def _configure(folder: Path) -> None:
    host = socket.gethostname().partition(".")[0]
    user = str(os.geteuid())
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(1024))
    conf = _CONF.format(folder=folder, host=host, user=user, ports=_free_ports(), cores=CORES)
    (folder / "slurm.conf").write_text(conf)
    (folder / "gres.conf").write_text(_GRES)
    (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def _start(folder: Path, name: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Starts a daemon, which ends with this process however that ends."""
    environ = {**os.environ, "PATH": _PATH, "SLURM_CONF": str(folder / "slurm.conf")}
    with (folder / f"{name}.log").open("w") as log:
        command = ["setpriv", "--pdeathsig=TERM", name, *arguments]
        return subprocess.Popen(command, env=environ, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _is_idle(slurm: Slurm) -> bool:
    command = ["sinfo", "--noheader", "--format=%T"]
    done = subprocess.run(command, env={**os.environ, **slurm.environ}, capture_output=True, text=True, timeout=60)
    return done.stdout.strip() == "idle"


def _log(folder: Path, *names: str) -> str:
    return "\n".join((folder / f"{name}.log").read_text()[-2000:] for name in names)
