"""What the commands of `deploy` share: options, and what they print."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

_OPTIONS = (
    click.option("--queue", required=True, metavar="QUEUE", help="The ClearML queue that the workers serve."),
    click.option(
        "--gpus",
        type=click.IntRange(min=0),
        default=1,
        show_default=True,
        metavar="N",
        help="GPUs of each worker, one trial on each; 0: trials on the cores.",
    ),
    click.option(
        "--output",
        required=True,
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Where the files go.",
    ),
    click.option("--force", is_flag=True, help="Overwrite files that differ."),
)


def deploy_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--queue`, `--gpus`, `--output` and `--force`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def put(texts: Mapping[str, str], output: Path, *, force: bool, then: Mapping[str, str]) -> None:
    """Writes the files and prints what was done.

    Args:
        texts: by file name.
        output: where.
        force: as the option says.
        then: what a user types next, and why.
    """
    from clearml_hpo.deployment import files

    done = files.write(texts, output, force=force)
    click.echo(str(output))
    for name, word in done.items():
        click.echo(f"  {word:10} {name}")
    click.echo("then:")
    for command, why in then.items():
        click.echo(f"  {command}  # {why}" if why else f"  {command}")
