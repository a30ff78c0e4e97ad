"""``clearml-hpo deploy slurm``, ``deploy pbs`` and ``deploy htcondor``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from clearml_hpo.cli.deploy_options import deploy_options, put
from clearml_hpo.cli.quantities import duration, size
from clearml_hpo.deployment import htcondor as of_htcondor
from clearml_hpo.deployment import pbs as of_pbs
from clearml_hpo.deployment import slurm as of_slurm
from clearml_hpo.deployment.batch import Jobs

_MIB = 2**20


def _count(name: str, help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    default = getattr(Jobs, name.replace("-", "_"))
    kind = click.IntRange(min=1)
    return click.option(f"--{name}", type=kind, default=default, show_default=True, metavar="N", help=help)


def _time(name: str, target: str, default: str, help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        f"--{name}", target, callback=duration, default=default, show_default=True, metavar="TIME", help=help
    )


_OPTIONS = (
    _count("jobs", "Jobs, each with one worker."),
    _count("per-gpu", "Trials that share a GPU."),
    _count("cpu", "Trials at once in a job without GPUs."),
    _count("cores", "Cores of each job, which its trials share."),
    click.option("--memory", callback=size, default="16G", show_default=True, metavar="SIZE", help="Of each job."),
    _time("walltime", "walltime_s", "4h", "How long a job may take."),
    _time(
        "drain-timeout",
        "drain_s",
        "90s",
        "How long before the end of a job trials may go on that run; then they are lost, and run again. That of your "
        "longest trial loses none.",
    ),
    _time("idle-timeout", "idle_s", "10m", "A job ends after so long without a trial."),
    click.option("--directive", "directives", multiple=True, metavar="TEXT", help="A line for the batch system."),
    click.option("--setup", multiple=True, metavar="COMMAND", help="A shell command that a job runs first."),
)


def _batch(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return deploy_options(function)


def _put(kind: Any, output: Path, force: bool, memory: int, **given: Any) -> None:
    whole: dict[str, Any] = {name: int(value) if name.endswith("_s") else value for name, value in given.items()}
    jobs = Jobs(memory_mib=max(1, memory // _MIB), **whole)
    put(kind.render_files(jobs), output, force=force, then=kind.next_commands(jobs, output))


@click.command()
@_batch
def slurm(**given: Any) -> None:
    """Write job scripts for Slurm: an array of workers, and a Dask cluster.

    The keys of ClearML are in none of them: jobs read clearml.conf.

    \b
    Examples:
      clearml-hpo deploy slurm --queue gpu --output slurm/
      clearml-hpo deploy slurm --queue gpu --directive --partition=a100 --setup 'module load cuda' --output slurm/
      clearml-hpo deploy slurm --queue cpu --gpus 0 --cpu 4 --cores 16 --jobs 50 --output slurm/
      clearml-hpo deploy slurm --queue gpu --walltime 24h --drain-timeout 2h --output slurm/
    """
    _put(of_slurm, **given)


@click.command()
@_batch
def pbs(**given: Any) -> None:
    """Write a job script for OpenPBS and PBS Professional: an array of workers.

    No PBS has run the script yet: this project's tests start it by hand. The keys of ClearML are not in it: jobs read
    clearml.conf.

    \b
    Examples:
      clearml-hpo deploy pbs --queue gpu --directive '-q gpuq' --setup 'source ~/hpo/bin/activate' --output pbs/
    """
    _put(of_pbs, **given)


@click.command()
@_batch
def htcondor(**given: Any) -> None:
    """Write a submit description and a job script for HTCondor: so many workers.

    No HTCondor has run the files yet: this project's tests start the script by hand. The keys of ClearML are not in
    them: jobs read clearml.conf.

    \b
    Examples:
      clearml-hpo deploy htcondor --queue gpu --directive 'requirements = (CUDACapability >= 8)' --output htcondor/
    """
    _put(of_htcondor, **given)
