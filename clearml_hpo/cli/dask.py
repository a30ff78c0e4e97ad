"""``clearml-hpo dask``."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clearml_hpo.cli.connection import use_lasting_server
from clearml_hpo.cli.driving import log_format_option
from clearml_hpo.cli.exits import Exit
from clearml_hpo.cli.formats import Out, prints
from clearml_hpo.cli.quantities import duration
from clearml_hpo.cli.slots import slot_options, slots_here
from clearml_hpo.cli.worker import sayer_to_stderr
from clearml_hpo.core.errors import ClearmlHpoError, InputError
from clearml_hpo.machine import signals
from clearml_hpo.views.json_console import LogFormat

if TYPE_CHECKING:
    from clearml_hpo.executors.dask.plan import DaskPlan, Tls

_Command = TypeVar("_Command", bound=Callable[..., Any])
_COLUMNS = ("name", "address", "threads", "trials", "waiting", "takes_trials", "resources", "versions")


@click.group()
def dask() -> None:
    """Run trials of studies on a Dask cluster: `clearml-hpo run study.yaml --dask ADDRESS`.

    \b
    Examples:
      dask scheduler --port 8786                                   Dask's own
      clearml-hpo dask worker tcp://node-1:8786 --gpus 0,1         on each GPU server
      clearml-hpo dask status tcp://node-1:8786                    who is there
      clearml-hpo run study.yaml --dask tcp://node-1:8786
    """


def _scheduler(command: _Command) -> _Command:
    """Options that say where a scheduler is."""
    for option in reversed(
        (
            click.argument("address", required=False, envvar="DASK_SCHEDULER_ADDRESS"),
            click.option(
                "--scheduler-file", metavar="FILE", help="In place of ADDRESS: the file that Dask has written."
            ),
            click.option("--tls-ca", metavar="FILE", help="Of a cluster that encrypts: its authority."),
            click.option("--tls-cert", metavar="FILE", help="Our certificate."),
            click.option("--tls-key", metavar="FILE", help="Its key."),
        )
    ):
        command = option(command)
    return command


@dask.command()
@_scheduler
@slot_options
@click.option("--name", envvar="DASK_WORKER_NAME", metavar="NAME", help="Of the worker; default: host and pid.")
@click.option(
    "--resources", multiple=True, metavar="NAME=N", help="What each worker has, as for dask; may be repeated."
)
@click.option("--idle-timeout", callback=duration, metavar="10m", help="Leave after so long without a trial.")
@click.option(
    "--drain-timeout",
    callback=duration,
    metavar="10m",
    help="After a signal running trials may go on for so long; default: for ever.",
)
@log_format_option
def worker(
    address: str | None,
    scheduler_file: str | None,
    tls_ca: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    gpus: str | None,
    per_gpu: int,
    cpu: int | None,
    threads: int | None,
    name: str | None,
    resources: tuple[str, ...],
    idle_timeout: float | None,
    drain_timeout: float | None,
    log_format: LogFormat,
) -> None:
    """Run trials of studies as Dask workers of the scheduler at ADDRESS (or $DASK_SCHEDULER_ADDRESS).

    A trial at a time on each GPU of this machine, or on each core if it has none. Each GPU has a Dask worker with the
    resource GPU=1; the cores have one together. If the scheduler goes, trials are finished and it is waited for.

    Ctrl-C or SIGTERM: they take no more trials and leave when those that run have ended; a second one ends them, and
    they count as lost, so that a controller runs them again. So does --drain-timeout.

    \b
    Examples:
      clearml-hpo dask worker tcp://node-1:8786
      clearml-hpo dask worker tcp://node-1:8786 --gpus 0,1 --per-gpu 2
      clearml-hpo dask worker tcp://node-1:8786 --cpu 4 --threads 2 --idle-timeout 10m
      clearml-hpo dask worker --scheduler-file /shared/dask.json --cpu 1 --drain-timeout 55m
    """
    plan = _plan(address, scheduler_file, _tls(tls_ca, tls_cert, tls_key))
    given = dict(_resource(text) for text in resources)
    slots = slots_here(gpus, per_gpu, cpu, threads, is_pilot=False)
    say = sayer_to_stderr(log_format)
    use_lasting_server(local=False, say=say)
    needs_distributed()
    from clearml_hpo.executors.dask.service import Service, Serving

    where = {"scheduler_file": plan.scheduler_file} if plan.scheduler_file else {"scheduler_ip": plan.address}
    drain_s = float("inf") if drain_timeout is None else drain_timeout
    own = name or f"{socket.gethostname().partition('.')[0]}-{os.getpid()}"
    service = Service(Serving(where, plan.name, slots, own, given, plan.tls, drain_s=drain_s, idle_s=idle_timeout), say)
    with signals.handled(dict.fromkeys(signals.ENDS, service.ask_to_end)):
        is_drained = asyncio.run(service.run())
    if not is_drained:
        sys.exit(Exit.INTERRUPTED)


@dask.command()
@_scheduler
@prints("table", "json", "csv")
def status(
    address: str | None,
    scheduler_file: str | None,
    tls_ca: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    out: Out,
) -> None:
    """Show the workers of a Dask cluster and their trials.

    \b
    Examples:
      clearml-hpo dask status tcp://node-1:8786
      clearml-hpo dask status tcp://node-1:8786 --format json
    """
    plan = _plan(address, scheduler_file, _tls(tls_ca, tls_cert, tls_key))
    needs_distributed()
    from rich.table import Table

    from clearml_hpo.executors.dask.outlook import outlook_of

    try:
        found = outlook_of(plan)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClearmlHpoError(f"no Dask scheduler answers at {plan.name}: {str(error).partition(chr(10))[0]}") from None
    table = Table("worker", "address", "threads", "trials", "waiting", "resources", "takes trials", box=None)
    for row in found.workers:
        amounts = " ".join(f"{name}={amount:g}" for name, amount in row["resources"].items())
        takes = "yes" if row["takes_trials"] else "no"
        table.add_row(
            row["name"], row["address"], str(row["threads"]), str(row["trials"]), str(row["waiting"]), amounts, takes
        )
    many = "" if len(found.workers) == 1 else "s"
    click.echo(f"{found.address}: {len(found.workers)} worker{many}, dashboard {found.dashboard}", err=True)
    out.rows(found.workers, _COLUMNS, table)
    for remark in found.remarks:
        click.echo(remark, err=True)


def needs_distributed() -> None:
    """Refuses if Dask is not installed."""
    try:
        import distributed  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(f"Dask is not installed ({error.name}): pip install 'clearml-hpo[dask]'") from None


def _plan(address: str | None, scheduler_file: str | None, tls: Tls | None) -> DaskPlan:
    from clearml_hpo.executors.dask.plan import DaskPlan, fault_of_address

    if (address is None) == (scheduler_file is None):
        raise click.UsageError("where is the scheduler? give ADDRESS, such as tcp://node-1:8786, or --scheduler-file")
    if address is not None and (fault := fault_of_address(address, is_encrypted=tls is not None)):
        raise InputError(fault)
    return DaskPlan(address=address or "", scheduler_file=scheduler_file or "", tls=tls)


def _tls(ca: str | None, cert: str | None, key: str | None) -> Tls | None:
    from clearml_hpo.executors.dask.plan import Tls

    if not (ca or cert or key):
        return None
    if not (ca and cert and key):
        raise click.UsageError("a cluster that encrypts needs all of --tls-ca, --tls-cert and --tls-key")
    return Tls(ca, cert, key)


def _resource(text: str) -> tuple[str, float]:
    name, _, amount = text.partition("=")
    try:
        return name.strip(), float(amount)
    except ValueError:
        raise click.BadParameter(
            f"expected NAME=NUMBER, such as GPU=1; found {text!r}", param_hint="--resources"
        ) from None
