"""The command line: one file per command, loaded when it is called.

run.py             `run`
resume.py          `resume`
launch.py          `launch`
watch.py           `watch`
init.py            `init`
proposal.py        what `init` shows and asks
convert.py         `convert`
check.py           `check`
open.py            `open`: the page of a study
dashboard.py       `dashboard`
study.py           `study`: list, show, steer and delete recorded studies
keep.py            `study keep`
orders.py          `study try`, `prune`, `abort`, `extend` and `narrow`
report.py          `study report`
trial.py           `trial`: one trial, and its console
campaign.py        `campaign`
notify.py          `notify`
server.py          `server`
keys.py            `server keys`
gateway.py         `gateway`: migrate, install
gateway_running.py  `gateway run`, `start`, `stop`, `status` and `login-link`
gateway_backup.py  `gateway backup` and `gateway restore`
gateway_studies.py  `gateway study`: add, list
gateway_tokens.py  `gateway token`
gateway_users.py   `gateway user`: roles in projects, and who is locked out
gateway_database.py  what these commands share
agents.py          `agents`
install.py         `agents install` and `agents uninstall`
worker.py          `worker`
dask.py            `dask`
deploy.py          `deploy`: files for clusters, a command for each kind
deploy_kubernetes.py  `deploy kubernetes`
deploy_batch.py    `deploy slurm`, `deploy pbs` and `deploy htcondor`
deploy_options.py  what these commands share
slots.py           GPUs and cores for tasks on this machine
completion.py      `completion`: commands and names of studies in a shell
driving.py         drives a study until it ends: shared by `run` and `resume`
closing.py         summary of a study that has ended
connection.py      server options of commands on recorded studies
server_options.py  options of `server start` and `server run`
exits.py           exit codes
choices.py         options with a few values
quantities.py      options with a unit: durations, sizes
formats.py         `--format` and `--output`: what a command prints
output.py          stdout and stderr: any character, closed pipes
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, NoReturn

import click

from clearml_hpo.cli import output
from clearml_hpo.cli.exits import Exit, add_epilogs, epilog
from clearml_hpo.core.errors import ClearmlHpoError, InputError
from clearml_hpo.machine import signals

_COMMANDS = {
    "run": "Run a study file, or go on with its study.",
    "resume": "Go on with a study, from any machine.",
    "launch": "Have an agent drive a study.",
    "watch": "Watch a study or a campaign until it ends.",
    "open": "Open the page of a study in the browser.",
    "dashboard": "Show and steer all studies in a browser.",
    "study": "List, show, steer, export and delete studies.",
    "trial": "Show one trial and its console.",
    "campaign": "Run many studies on shared resources.",
    "init": "Draft a study file from a training script or a task.",
    "convert": "Convert a sweep of W&B or a search space of Ray Tune into a study file.",
    "check": "Check a study or campaign file without running anything.",
    "notify": "Try the notifications of a study file.",
    "server": "Start, stop and back up an embedded ClearML server.",
    "gateway": "Let whoever can send an HTTP request run trials.",
    "agents": "Run clearml-agent daemons on this machine.",
    "worker": "Serve ClearML queues with warm processes.",
    "dask": "Run trials on a Dask cluster.",
    "deploy": "Write files that start workers on a cluster.",
    "completion": "Have a shell complete commands and names.",
}
"""What ``--help`` prints of each command; the module of the same name has the command itself."""

_NO_THREAD = "can't start new thread"


class _LazyGroup(click.Group):
    """Imports a command's module only when that command is asked for, so that ``--help`` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"{__name__}.{cmd_name}"), cmd_name)
        add_epilogs(command, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the command; what goes wrong becomes one message and an exit code."""
        output.use()
        try:
            with signals.handled(dict.fromkeys(signals.ENDS, signals.interrupt)):
                sys.exit(super().main(*args, **{**kwargs, "standalone_mode": False}))
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except InputError as error:
            _show(error, Exit.BAD_INPUT)
        except ClearmlHpoError as error:
            _show(error, Exit.FAILED)
        except (click.Abort, KeyboardInterrupt):
            click.echo("interrupted", err=True)
            sys.exit(Exit.INTERRUPTED)
        except (OSError, MemoryError, RuntimeError) as error:  # of the machine: a full disk, rights, limits
            if isinstance(error, RuntimeError) and str(error) != _NO_THREAD:
                raise
            _show(ClearmlHpoError(str(error) or "not enough memory"), Exit.FAILED)


def _show(error: ClearmlHpoError, code: Exit) -> NoReturn:
    for line in str(error).splitlines():
        click.echo(f"error: {line}", err=True)
    sys.exit(code)


@click.group(
    cls=_LazyGroup,
    commands={name: click.Command(name) for name in _COMMANDS},
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=epilog(""),
)
@click.version_option(package_name="clearml-hpo")
def main() -> None:
    """Hyperparameter optimisation for ClearML: one study file, from a laptop to a fleet of GPU servers.

    \b
    Examples:
      clearml-hpo init train.py               draft a study file from a script
      clearml-hpo check study.yaml            is the study file sound?
      clearml-hpo run study.yaml              run it on the ClearML server that is configured
      clearml-hpo run study.yaml --local      run it here: embedded server, warm workers, everything
      clearml-hpo launch study.yaml           have an agent drive it
      clearml-hpo watch 3f9c2a                look at one that runs anywhere
      clearml-hpo campaign run campaign.yaml  many studies on shared resources: data sets times models
      clearml-hpo study list                  the studies there are; show, trials, best, stop, ...
      clearml-hpo trial logs 3f9c2a 7         what trial 7 prints
      clearml-hpo server start                an embedded ClearML server for this machine
      clearml-hpo agents up --queue gpu       clearml-agent daemons, one per GPU
      clearml-hpo worker --queue quick        serve a queue with processes that are kept warm
    """
