"""``clearml-hpo deploy``: a group with one command for each kind of cluster, in a file of its own."""

from __future__ import annotations

import click

from clearml_hpo.cli.deploy_kubernetes import kubernetes


@click.group()
def deploy() -> None:
    """Write the files that start workers on a cluster. Nothing is applied: each command says what to type next.

    \b
    Examples:
      clearml-hpo deploy kubernetes --queue gpu --gpus 1 --output cluster/
    """


deploy.add_command(kubernetes)
