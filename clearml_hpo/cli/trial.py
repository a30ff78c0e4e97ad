"""``clearml-hpo trial``: one trial of a study, and its console."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from clearml_hpo.cli import output
from clearml_hpo.cli.completion import complete_studies
from clearml_hpo.cli.connection import server_of_studies
from clearml_hpo.cli.formats import Out, prints
from clearml_hpo.core.errors import InputError
from clearml_hpo.views.display import short_worker

if TYPE_CHECKING:
    from clearml_hpo.backend.api import Api
    from clearml_hpo.core.trial import Trial
    from clearml_hpo.studies.study import Study

_LOOK_S = 1.0
"""Pause between two looks at the console of a trial that runs."""

_study = click.argument("study_id", metavar="STUDY", shell_complete=complete_studies)
_number = click.argument("number", metavar="N", type=click.IntRange(min=0))
_attempt = click.option("--attempt", type=click.IntRange(min=1), metavar="K", help="An earlier one; default: the last.")
_local = click.option("--local", is_flag=True, help="The embedded server's, also if another server is configured.")


@click.group()
def trial() -> None:
    """One trial of a study: its facts, its console. `clearml-hpo study trials` lists all of them.

    STUDY is a study's id, at least six characters that it begins with, or its name; N is the trial's number.

    \b
    Examples:
      clearml-hpo trial show 3f9c2a 7
      clearml-hpo trial logs 3f9c2a 7 --follow
    """


@trial.command()
@_study
@_number
@_attempt
@prints("table", "json")
@_local
def show(study_id: str, number: int, attempt: int | None, out: Out, local: bool) -> None:
    """Show a trial: its state, values, parameters, times, worker, and why it ended.

    \b
    Examples:
      clearml-hpo trial show 3f9c2a 7
      clearml-hpo trial show 3f9c2a 7 --attempt 1 --format json
    """
    with server_of_studies(local=local):
        from clearml_hpo.backend.api import Api

        found = _load(Api(), study_id)
        (facts,) = found.rows([_trial(found, number, attempt)])
    if out.is_json:
        out.json(facts)
    else:
        known = {name: value for name, value in facts.items() if value not in (None, "")}
        known.update({"worker": short_worker(known["worker"])} if "worker" in known else {})
        width = max(map(len, known))
        out.show(*(f"{name:{width}}  {_shown(value)}" for name, value in known.items()))


@trial.command()
@_study
@_number
@_attempt
@click.option("--follow", "-f", is_flag=True, help="Go on printing what it says, until it ends.")
@_local
def logs(study_id: str, number: int, attempt: int | None, follow: bool, local: bool) -> None:
    """Print the console of a trial, as far as it has come to the server.

    \b
    Examples:
      clearml-hpo trial logs 3f9c2a 7
      clearml-hpo trial logs 3f9c2a 7 --follow
      clearml-hpo trial logs 3f9c2a 7 --attempt 1
    """
    with server_of_studies(local=local):
        from clearml_hpo.backend.api import Api
        from clearml_hpo.backend.outputs import console_log

        api = Api()
        task_id = _trial(_load(api, study_id), number, attempt).task_id
        looks = _until_it_has_ended(api, task_id) if follow else iter(())
        for line in console_log(api, task_id, goes_on=lambda: next(looks, False)):
            click.echo(line)


def _until_it_has_ended(api: Api, task_id: str) -> Iterator[bool]:
    """Waits before each look at the console, of which one is after the end."""
    from clearml_hpo.backend.lists import by_id
    from clearml_hpo.backend.trial_tasks import UNDER_WAY

    is_live = True
    while is_live and output.is_read():
        task = by_id(api, "tasks", [task_id], ["status"], search_hidden=True).get(task_id) or {}
        is_live = task.get("status") in UNDER_WAY
        if is_live:
            time.sleep(_LOOK_S)
        yield True


def _load(api: Api, study_id: str) -> Study:
    from clearml_hpo.backend.study_records import read_study
    from clearml_hpo.studies.study import Study

    return Study(api, read_study(api, study_id))


def _trial(found: Study, number: int, attempt: int | None) -> Trial:
    """The attempt of this number, or the last one."""
    attempts = {each.attempt: each for each in (*found.earlier_attempts, *found.trials) if each.number == number}
    if not attempts:
        last = max((each.number for each in found.trials), default=None)
        there = "it has none yet" if last is None else f"they are 0 to {last}"
        raise InputError(f"study {found.name} has no trial {number}; {there}")
    chosen = max(attempts) if attempt is None else attempt
    if chosen not in attempts:
        known = ", ".join(map(str, sorted(attempts)))
        raise InputError(f"trial {number} of study {found.name} has no attempt {chosen}; there are: {known}")
    return attempts[chosen]


def _shown(value: Any) -> str:
    from clearml_hpo.core.values import as_text

    return f"{value:.6g}" if isinstance(value, float) else as_text(value)
