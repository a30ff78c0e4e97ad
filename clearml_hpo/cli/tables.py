"""Lists as a user or a program wants them: a table, JSON or CSV."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

format_option = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="How to print it.",
)


def print_list(
    form: str, table: Callable[[], Table], rows: Sequence[Mapping[str, Any]], columns: Sequence[str]
) -> None:
    """Prints ``rows`` as JSON or CSV of these columns, or the table that a user reads."""
    if form == "json":
        print_json(rows)
    elif form == "csv":
        from clearml_hpo.studies.rows import to_csv

        click.echo(to_csv(rows, columns), nl=False)
    else:
        Console().print(table())


def print_json(data: object) -> None:
    """Prints it as JSON; what is not finite is null."""
    click.echo(json.dumps(finite(data), indent=2))


def finite(data: Any) -> Any:
    """The same data; what is not finite is null."""
    if isinstance(data, Mapping):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def moment(epoch: float | None) -> str:
    """``11-21 08:14`` in local time, with the year if it is another one."""
    if epoch is None:
        return ""
    then = datetime.fromtimestamp(epoch)
    return then.strftime("%m-%d %H:%M" if then.year == datetime.now().year else "%Y-%m-%d")
