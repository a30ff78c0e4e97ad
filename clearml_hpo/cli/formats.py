"""``--format`` and ``--output``: what a command prints, for users and for programs."""

from __future__ import annotations

import functools
import io
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clearml_hpo.cli.choices import Choice

if TYPE_CHECKING:
    from rich.console import RenderableType

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Out:
    """Where a command prints, and in which format.

    Attributes:
        form: ``table``, ``json``, ``csv`` or ``yaml``.
        file: a file in place of stdout.
    """

    form: str = "table"
    file: Path | None = None

    @property
    def is_json(self) -> bool:
        """True if a program is to read it as JSON."""
        return self.form == "json"

    def text(self, text: str, what: str = "written") -> None:
        """Prints a text as it is; of a file it says ``what`` was written, unless that is a pipe or a device."""
        if self.file is None:
            click.echo(text, nl=False)
            return
        self.file.write_text(text, encoding="utf-8")
        if _stays(self.file):
            click.echo(f"{self.file}: {what}")

    def json(self, data: object, indent: int | None = 2) -> None:
        """Prints data as JSON; what is not finite is null."""
        self.text(json.dumps(finite(data), indent=indent) + "\n")

    def rows(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], table: RenderableType) -> None:
        """Prints a list: as JSON or CSV of these columns, or as the table that a user reads."""
        if self.form == "json":
            self.json(rows)
        elif self.form == "csv":
            from clearml_hpo.studies.rows import to_csv

            self.text(to_csv(rows, columns))
        else:
            self.show(table)

    def show(self, *shown: RenderableType) -> None:
        """Prints what a user reads; texts are not wrapped."""
        from rich.console import Console
        from rich.text import Text

        console = Console() if self.file is None else Console(file=io.StringIO(), width=_WIDTH_OF_FILES)
        for each in shown:
            console.print(each, markup=False, highlight=False, soft_wrap=isinstance(each, (str, Text)))
        if isinstance(console.file, io.StringIO):
            self.text(console.file.getvalue())


_WIDTH_OF_FILES = 160


def prints(*forms: str, to_file: bool = True) -> Callable[[_Command], _Command]:
    """Adds ``--format`` with these formats, the first one as default, and ``--output``; the command gets ``out``.

    ``--json``, of earlier versions, stays as a hidden option.
    """

    def add(function: _Command) -> _Command:
        @functools.wraps(function)
        def printing(*args: Any, form: str | None, as_json: bool, output_file: Path | None = None, **given: Any) -> Any:
            if output_file is not None:
                check_writable(output_file)
                form = form or ("json" if as_json else _form_of(output_file, forms))
            chosen = "json" if as_json else form if form in forms else forms[0]
            return function(*args, out=Out(chosen, output_file), **given)

        options: list[Callable[[Any], Any]] = [
            click.option("--format", "form", type=Choice(forms), help=f"How to print it; default: {forms[0]}."),
            *([output_option("Print to this file; its ending may say the format.")] if to_file else []),
            click.option("--json", "as_json", is_flag=True, hidden=True),
        ]
        command: Any = printing
        for option in reversed(options):
            command = option(command)
        return command  # type: ignore[no-any-return]

    return add


def _form_of(file: Path, forms: Sequence[str]) -> str:
    """The format that a file's ending says; the first of ``forms`` if it has none."""
    form = file.suffix.lower().removeprefix(".").replace("yml", "yaml").replace("txt", "table") or forms[0]
    if form not in forms:
        endings = ", ".join("." + each.replace("table", "txt") for each in forms)
        raise click.BadParameter(f"{file}: allowed endings: {endings}; any with --format", param_hint="--output")
    return form


def output_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--output FILE``; the command gets ``output_file``."""
    file = click.Path(path_type=Path, dir_okay=False, writable=True)
    return click.option("--output", "output_file", type=file, metavar="FILE", help=text)


def writes_result(function: _Command) -> _Command:
    """Adds ``--output FILE``, for the result as JSON, and ``--json FILE``, which it was called before."""

    @functools.wraps(function)
    def command(*args: Any, json_file: Path | None, **given: Any) -> Any:
        file = given["output_file"] = given["output_file"] or json_file
        if file is not None:
            _form_of(file, ("json",))
        return function(*args, **given)

    old = click.option("--json", "json_file", type=click.Path(path_type=Path), hidden=True)
    return old(output_option("Write the result as JSON.")(command))  # type: ignore[return-value]


def write_result(file: Path, result: object, say: Callable[[str], None]) -> None:
    """Writes the result of a run as JSON, and says so, unless the file is a pipe or a device."""
    file.write_text(json.dumps(finite(result), indent=2) + "\n", encoding="utf-8")
    if _stays(file):
        say(f"{file}: written")


def _stays(file: Path) -> bool:
    """False for a pipe or a device; ``/dev/stdout`` is one, whatever it leads to."""
    return file.is_file() and Path("/dev") not in file.parents


def check_writable(file: Path) -> None:
    """Refuses a file that cannot be written, before anything starts, not after a week."""
    folder = file.absolute().parent
    if not folder.is_dir():
        raise click.BadParameter(f"no such folder: {folder}", param_hint="--output")
    if not os.access(folder, os.W_OK):
        raise click.BadParameter(f"cannot write to {folder}", param_hint="--output")


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
