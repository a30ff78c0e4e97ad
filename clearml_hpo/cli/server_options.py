"""The options of `server start` and `server run`: how a server is run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from clearml_hpo.cli.quantities import duration, size

_OPTIONS = (
    click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on."),
    click.option(
        "--allow-remote",
        is_flag=True,
        help="The address may be one that other machines reach; or there is a proxy, which asks by another name.",
    ),
    click.option(
        "--task-timeout",
        "task_timeout_s",
        callback=duration,
        metavar="DURATION",
        default="15m",
        show_default=True,
        help="Stop tasks that run and of which nothing was heard for so long; 0: never.",
    ),
    click.option(
        "--max-file-size",
        callback=size,
        metavar="SIZE",
        default="64G",
        show_default=True,
        help="Refuse larger uploads.",
    ),
    click.option(
        "--webapp",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="A build of ClearML's own web app, served at the web port in place of the plain pages. Not remembered: "
        "name it at every start.",
    ),
    click.option(
        "--access-log", is_flag=True, help="Write each request down, without keys and queries: access.log in the data."
    ),
)


def run_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options; the command gets them by the names that :class:`clearml_hpo.server.options.Options` has."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
