"""``clearml-hpo study try``, ``prune``, ``abort``, ``extend`` and ``narrow``: what users order by hand."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from clearml_hpo.cli.completion import complete_studies
from clearml_hpo.cli.connection import load_study, server_of_studies
from clearml_hpo.cli.quantities import duration
from clearml_hpo.core.errors import InputError

if TYPE_CHECKING:
    from clearml_hpo.backend.orders import How
    from clearml_hpo.studies.study import Study

_NUMBER = tuple("+-.0123456789")
_study = click.argument("study_id", metavar="ID", shell_complete=complete_studies)
_numbers = click.argument("numbers", metavar="TRIAL...", nargs=-1, type=int, required=True)
_local = click.option("--local", is_flag=True, help="The embedded server's, also if another server is configured.")


@click.command("try")
@_study
@click.argument("pairs", metavar="NAME=VALUE...", nargs=-1, required=True)
@_local
def try_(study_id: str, pairs: tuple[str, ...], local: bool) -> None:
    """Have a point tried before anything that the sampler proposes. It has values by parameter, as in `enqueue:`.

    What is missing is the template's own value. A controller that drives the study hears of it within some 15 s; where
    there is none, the point is tried when the study is resumed.

    \b
    Examples:
      clearml-hpo study try 3f9c2a lr=0.1 depth=6
      clearml-hpo study try 3f9c2a General/lr=1e-3 booster=dart
    """
    params = dict(map(_pair, pairs))
    _order(study_id, local, lambda found: found.enqueue(params), "try the point", "the point will be tried by")


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise InputError(f"{text}: expected NAME=VALUE, such as lr=0.1")
    return name, _value(value, text)


def _value(text: str, where: str) -> Any:
    """What a text stands for in YAML; of numbers such as 1e-3 too, which YAML 1.1 reads as texts."""
    from clearml_hpo.study_file.source_lines import SourceLine, parse_yaml

    value = parse_yaml(text, lambda _: SourceLine(where))[0]
    if isinstance(value, str) and value[:1] in _NUMBER:
        with suppress(ValueError):
            return float(value)
    return value


def _end(study_id: str, numbers: tuple[int, ...], local: bool, *, how: How) -> None:
    said = f"trial{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
    with server_of_studies(local=local):
        found = load_study(study_id)
        if found.end_trials(numbers, how):
            click.echo(f"asked {found.record.holder} to {how} {said}")
        else:
            click.echo(f"study {found.name}: no controller drives it; {how}: {said}, at once")


@click.command()
@_study
@_numbers
@_local
def prune(study_id: str, numbers: tuple[int, ...], local: bool) -> None:
    """End trials that wait or run, as pruned. The sampler counts them so, with the values they have reported.

    \b
    Examples:
      clearml-hpo study prune 3f9c2a 12
      clearml-hpo study prune 3f9c2a 12 14
    """
    _end(study_id, numbers, local, how="prune")


@click.command()
@_study
@_numbers
@_local
def abort(study_id: str, numbers: tuple[int, ...], local: bool) -> None:
    """End trials that wait or run, as aborted. They have no value, as if their tasks were aborted in ClearML.

    \b
    Examples:
      clearml-hpo study abort 3f9c2a 12
      clearml-hpo study abort 3f9c2a 12 14
    """
    _end(study_id, numbers, local, how="abort")


@click.command()
@_study
@click.option("--trials", type=click.IntRange(min=1), metavar="N", help="Trials in all.")
@click.option("--time", callback=duration, metavar="TIME", help="Time in all that it is driven, such as 2h.")
@click.option("--compute-time", callback=duration, metavar="TIME", help="Time in all that trials run, added up.")
@click.option("--gpu-time", callback=duration, metavar="TIME", help="GPU time in all, added up.")
@click.option("--iterations", type=click.IntRange(min=1), metavar="N", help="Iterations in all.")
@_local
def extend(study_id: str, local: bool, **budget: Any) -> None:
    """Give a study a larger budget. The numbers are totals, not what is added.

    A controller that drives the study goes on with it within some 15 s. A study that has ended goes on with
    `clearml-hpo resume`.

    \b
    Examples:
      clearml-hpo study extend 3f9c2a --trials 100
      clearml-hpo study extend 3f9c2a --time 4h --trials 200
    """
    given = {name: value for name, value in budget.items() if value is not None}
    _order(study_id, local, lambda found: found.extend(**given), "extend the budget", "the budget counts for")


@click.command()
@_study
@click.argument("name")
@click.option("--low", metavar="VALUE", help="Nothing below this.")
@click.option("--high", metavar="VALUE", help="Nothing above this.")
@click.option("--choice", "choices", multiple=True, metavar="VALUE", help="Only this one, and others given so.")
@_local
def narrow(study_id: str, name: str, low: str | None, high: str | None, choices: tuple[str, ...], local: bool) -> None:
    """Have a parameter proposed within a part of its range. Without options it is proposed within all of it again.

    Earlier trials stay valid, and points of your own may lie anywhere in the search space.

    \b
    Examples:
      clearml-hpo study narrow 3f9c2a lr --low 1e-3 --high 1e-2
      clearml-hpo study narrow 3f9c2a booster --choice gbtree --choice dart
      clearml-hpo study narrow 3f9c2a lr
    """
    given = {"low": low, "high": high}
    limits = {key: _value(text, f"--{key} {text}") for key, text in given.items() if text is not None}
    if choices:
        limits["choices"] = [_value(text, f"--choice {text}") for text in choices]
    _order(study_id, local, lambda found: found.narrow(name, **limits), f"propose {name} so", "it counts for")


def _order(study_id: str, local: bool, order: Callable[[Study], bool], what: str, later: str) -> None:
    """Gives an order, and prints who will see to it."""
    with server_of_studies(local=local):
        found = load_study(study_id)
        if order(found):
            click.echo(f"asked {found.record.holder} to {what}")
        else:
            click.echo(f"study {found.name}: no controller drives it; {later}: clearml-hpo resume {found.study_id}")
