"""``clearml-hpo deploy``: a group with one command for each kind of cluster."""

from __future__ import annotations

import click

from clearml_hpo.cli.deploy_batch import htcondor, pbs, slurm
from clearml_hpo.cli.deploy_kubernetes import kubernetes


@click.group()
def deploy() -> None:
    """Write the files that start workers on a cluster. Nothing is applied: each command says what to type next.

    \b
    Examples:
      clearml-hpo deploy kubernetes --queue gpu --gpus 1 --output cluster/
      clearml-hpo deploy slurm --queue gpu --gpus 1 --output slurm/
    """


for _command in (kubernetes, slurm, pbs, htcondor):
    deploy.add_command(_command)
