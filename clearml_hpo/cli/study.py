"""``clearml-hpo study``: recorded studies, looked at and steered from any machine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from clearml_hpo.cli.choices import Choice
from clearml_hpo.cli.completion import complete_studies
from clearml_hpo.cli.connection import load_study, server_of_studies
from clearml_hpo.cli.formats import Out, moment, prints
from clearml_hpo.cli.keep import keep
from clearml_hpo.cli.orders import abort, extend, narrow, prune, try_
from clearml_hpo.cli.report import report
from clearml_hpo.core.errors import InputError
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.rungs import rungs_text
from clearml_hpo.core.savings import saved_by_pruning
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.core.units import counted
from clearml_hpo.views import display

if TYPE_CHECKING:
    from clearml_hpo.backend.study_records import StudyRecord
    from clearml_hpo.studies.study import Study

_COLUMNS = (
    "study_id",
    "name",
    "project",
    "status",
    "ended_trials",
    "budget_of_trials",
    "best_value",
    "best_trial",
    "holder",
    "created_at",
    "started_at",
    "ended_at",
    "url",
)
_RETRIED = [state.value for state in TrialState if state.is_without_value]
_LAST_FAILURES = 3
_MOST_NAMED = 5
_SHORT_ID = 8

_local = click.option("--local", is_flag=True, help="The embedded server's, also if another server is configured.")


@click.group()
def study() -> None:
    """Studies on the ClearML server: list, look at, steer, export, delete.

    ID is a study's id, at least six characters that it begins with, or its name.

    \b
    Examples:
      clearml-hpo study list                          the newest studies
      clearml-hpo study show 3f9c2a                   where one stands
      clearml-hpo study trials 3f9c2a --sort value    its trials, best first
      clearml-hpo study best 3f9c2a                   its best parameters
      clearml-hpo study report 3f9c2a                 a folder with its plots, submissions and logs
      clearml-hpo study stop 3f9c2a --drain           end it when its running trials have ended
      clearml-hpo study try 3f9c2a lr=0.1             a point of your own, before the sampler's
      clearml-hpo study extend 3f9c2a --trials 100    a larger budget
    """


@study.command("list")
@click.option("--project", help="Only those of this project.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="No more than so many.")
@prints("table", "json", "csv")
@_local
def list_(project: str | None, limit: int, out: Out, local: bool) -> None:
    """List studies, newest first.

    \b
    Examples:
      clearml-hpo study list
      clearml-hpo study list --project credit --limit 5
      clearml-hpo study list --format json
    """
    with server_of_studies(local=local):
        from clearml_hpo.backend.api import Api
        from clearml_hpo.backend.study_records import find_studies

        found = find_studies(Api(), project=project, limit=limit)
    out.rows([_facts(record) for record in found], _COLUMNS, _study_table(found))


@study.command()
@click.argument("study_id", metavar="ID", shell_complete=complete_studies)
@prints("table", "json", "yaml")
@click.option("--file", "as_file", is_flag=True, help="Print the study file alone, as --format yaml does.")
@_local
def show(study_id: str, out: Out, as_file: bool, local: bool) -> None:
    """Show where a study stands. This is who drives it, its budget, its trials, its best, its last failures.

    \b
    Examples:
      clearml-hpo study show 3f9c2a
      clearml-hpo study show 3f9c2a --format json
      clearml-hpo study show 3f9c2a --file --output again.yaml
    """
    with _open(study_id, local) as found:
        if as_file or out.form == "yaml":
            out.text(found.record.study_yaml)
        elif out.is_json:
            out.json(_summary(found))
        else:
            out.show(*_summary_lines(found))


@study.command()
@click.argument("study_id", metavar="ID", shell_complete=complete_studies)
@click.option("--state", "states", multiple=True, type=Choice([s.value for s in TrialState]), help="Only these.")
@click.option("--sort", type=Choice(["number", "value"]), default="number", show_default=True, help="Order.")
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="Only the first N.")
@click.option("--attempts", is_flag=True, help="Earlier attempts of trials that were run again, too (JSON, CSV).")
@prints("table", "json", "csv")
@_local
def trials(
    study_id: str, states: tuple[str, ...], sort: str, top: int | None, attempts: bool, out: Out, local: bool
) -> None:
    """List the trials of a study.

    \b
    Examples:
      clearml-hpo study trials 3f9c2a --sort value --top 10
      clearml-hpo study trials 3f9c2a --state failed --state lost
      clearml-hpo study trials 3f9c2a --output trials.csv
    """
    with _open(study_id, local) as found:
        chosen = [trial for trial in found.trials if not states or trial.state.value in states]
        if sort == "value":
            chosen.sort(key=lambda trial: _rank(trial, found.goal))
        chosen = chosen[:top]
        rows = found.rows(chosen, attempts=attempts)
        out.rows(rows, found.columns, display.trial_table(chosen, found.goal))


@study.command()
@click.argument("study_id", metavar="ID", shell_complete=complete_studies)
@prints("yaml", "json")
@_local
def best(study_id: str, out: Out, local: bool) -> None:
    """Print the best parameters. They are YAML that a search space takes as constants.

    With several objectives: those of the trial of the Pareto front that is best in the first objective; as JSON
    the whole front.

    \b
    Examples:
      clearml-hpo study best 3f9c2a --output best.yaml
      clearml-hpo study best 3f9c2a --format json
    """
    with _open(study_id, local) as found:
        trial = found.best
        if out.is_json:
            out.json([_point(each, found.goal) for each in found.pareto_front])
        elif trial is not None:
            from clearml_hpo.study_file import dump_params

            out.text(f"# trial {trial.number}: {_values(trial, found.goal)}\n{dump_params(trial.params)}")
    if trial is None:
        raise click.ClickException(f"study {study_id} has no completed trial yet")


@study.command()
@click.argument("study_id", metavar="ID", shell_complete=complete_studies)
@click.argument("file", metavar="", required=False, type=click.Path(path_type=Path, dir_okay=False))
@prints("json", "csv", "yaml")
@_local
def export(study_id: str, file: Path | None, out: Out, local: bool) -> None:
    """Print or write all of a study, as JSON, CSV or YAML. It has the state, the trials and their attempts.

    \b
    Examples:
      clearml-hpo study export 3f9c2a --output study.json
      clearml-hpo study export 3f9c2a --output trials.csv
    """
    with _open(study_id, local) as found:
        if file is not None:  # as earlier versions had it
            found.export(file)
            click.echo(f"{file}: {counted(len(found.trials), 'trial')}")
        else:
            out.text(found.export(out.form), counted(len(found.trials), "trial"))


@study.command()
@click.argument("study_id", metavar="ID", shell_complete=complete_studies)
@click.option("--abort/--drain", "abort", default=True, help="End trials that run (default), or wait for them.")
@_local
def stop(study_id: str, abort: bool, local: bool) -> None:
    """End a study, wherever its controller runs. `clearml-hpo resume` goes on with it.

    Trials that wait do not start. A controller that drives the study hears of it within some 15 s; where there is none,
    the study is ended at once.

    \b
    Examples:
      clearml-hpo study stop 3f9c2a
      clearml-hpo study stop 3f9c2a --drain
    """
    with _open(study_id, local) as found:
        if found.stop(drain=not abort):
            click.echo(f"asked {found.record.holder} to {'abort' if abort else 'drain'} study {found.name}")
        else:
            click.echo(f"study {found.name}: no controller drives it; it is {found.record.status}")


@study.command()
@click.argument("study_id", metavar="ID", shell_complete=complete_studies)
@click.argument("numbers", metavar="[TRIAL]...", nargs=-1, type=int)
@click.option("--state", "states", multiple=True, type=Choice(_RETRIED), help="Only those in these states.")
@_local
def retry(study_id: str, numbers: tuple[int, ...], states: tuple[str, ...], local: bool) -> None:
    """Run trials that ended without a value once more. They are new attempts, of those numbered, or of all.

    \b
    Examples:
      clearml-hpo study retry 3f9c2a
      clearml-hpo study retry 3f9c2a 7 12
      clearml-hpo study retry 3f9c2a --state failed
    """
    with _open(study_id, local) as found:
        chosen = found.retry(numbers, states=[TrialState(state) for state in states or _RETRIED])
        which = "trial" if len(chosen.trials) == 1 else "trials"
        said = f"{which} {', '.join(str(trial.number) for trial in chosen.trials)}"
        if not chosen.trials:
            click.echo("no trial ended without a value")
        elif chosen.is_driven:
            click.echo(f"asked {found.record.holder} to run {said} again")
        else:
            click.echo(f"to run {said} again, go on with the study: clearml-hpo resume {found.study_id}")


@study.command()
@click.argument("study_id", metavar="ID", shell_complete=complete_studies)
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Also while it is driven, or trials run.")
@_local
def delete(study_id: str, dry_run: bool, yes: bool, force: bool, local: bool) -> None:
    """Delete a study from the server, with its tasks and their files. These are controller task, trial tasks, and their
    models and artifacts in storage.

    What is published stays, and so does the template.

    \b
    Examples:
      clearml-hpo study delete 3f9c2a --dry-run
      clearml-hpo study delete 3f9c2a --yes
    """
    with _open(study_id, local) as found:
        if found.record.namesakes:
            raise InputError(f"several studies are called {found.name}: give the id of the one to be deleted")
        if not (force or dry_run):
            _refuse_if_live(found)
        removal = found.removal()
        click.echo(f"study {found.name} ({found.study_id}): {removal}")
        if dry_run:
            for stored in removal.stored:
                click.echo(f"  {stored}")
            return
        if not yes:
            click.confirm("delete them?", abort=True)
        if not found.remove(removal, click.echo):
            raise click.ClickException("not all of it could be deleted; run this again later")
        click.echo("deleted")


def _refuse_if_live(found: Study) -> None:
    short = found.study_id[:_SHORT_ID]
    if found.is_driven():
        raise InputError(
            f"study {found.name} is driven by {found.record.holder}; to end it first: clearml-hpo study stop {short}; "
            "to delete it nevertheless: --force"
        )
    live = [str(trial.number) for trial in found.trials if trial.state.is_live]
    if live:
        numbers = ", ".join([*live[:_MOST_NAMED], *(["..."] if len(live) > _MOST_NAMED else [])])
        raise InputError(
            f"study {found.name} has {len(live)} that wait or run (trial {numbers}); to end them first: "
            f"clearml-hpo study stop {short}; to delete it nevertheless: --force"
        )


for _command in (keep, try_, prune, abort, extend, narrow):
    study.add_command(_command)
study.add_command(report)


@contextmanager
def _open(study_id: str, local: bool) -> Iterator[Study]:
    with server_of_studies(local=local):
        yield load_study(study_id)


# --- a study -------------------------------------------------------------------------------------------------------


def _facts(record: StudyRecord) -> dict[str, Any]:
    from clearml_hpo.studies.rows import iso

    return {
        "study_id": record.study_id,
        "name": record.name,
        "project": record.project,
        "status": record.status,
        "ended_trials": record.ended_trials,
        "budget_of_trials": record.budget_of_trials,
        "best_value": record.best_value,
        "best_trial": record.best_trial,
        "holder": record.holder,
        "created_at": iso(record.created_at),
        "started_at": iso(record.started_at),
        "ended_at": iso(record.ended_at),
        "url": record.url,
    }


def _study_table(found: Sequence[StudyRecord]) -> Table:
    table = Table(box=None, pad_edge=False, expand=True)
    table.add_column("id", no_wrap=True)
    table.add_column("study", overflow="ellipsis", no_wrap=True, ratio=3)
    table.add_column("project", overflow="ellipsis", no_wrap=True, ratio=2)
    table.add_column("status", no_wrap=True)
    table.add_column("trials", justify="right", no_wrap=True)
    table.add_column("best", justify="right", no_wrap=True)
    table.add_column("made", no_wrap=True)
    for record in found:
        best_value = record.best_value
        table.add_row(
            record.study_id[:_SHORT_ID],
            Text(record.name),
            Text(record.project),
            record.status,
            record.properties.get("trials", ""),
            "" if best_value is None else f"{best_value:.5g}",
            moment(record.created_at),
        )
    return table


def _summary(found: Study) -> dict[str, Any]:
    best_one = found.best
    return {
        **_facts(found.record),
        "ended_trials": _ended(found),
        "budget_of_trials": found.file.budget.trials,
        "best_value": best_one and best_one.value,
        "best_trial": best_one and best_one.number,
        "reason": found.record.reason,
        "is_driven": found.is_driven(),
        "driven_s": round(found.driven_s, 3),
        "budget": _used(found),
        "counts": {state.value: count for state, count in found.counts.items()},
        "best": best_one and _point(best_one, found.goal),
        "failures": [
            {"number": trial.number, "state": trial.state.value, "reason": trial.reason, "task_id": trial.task_id}
            for trial in _last_failures(found)
        ],
    }


def _summary_lines(found: Study) -> Iterator[Text]:
    from clearml_hpo.study_file import dump_params

    record = found.record
    yield Text.assemble((record.name, "bold"), f"  {record.study_id}")
    yield _fact("project", record.project)
    yield _fact("status", f"{record.status}{f': {record.reason}' if record.reason else ''}")
    yield _fact("held by", _holder(found))
    yield _fact("url", record.url)
    # From here on the study file is read, which may be of another version.
    yield _fact("objective", str(found.goal))
    yield _fact("budget", ", ".join(_used(found)))
    yield _fact("trials", ", ".join(f"{count} {state.value}" for state, count in found.counts.items()) or "none")
    if lengths := rungs_text(found.trials, found.earlier_attempts):
        yield _fact("lengths", lengths)
    if saved := saved_by_pruning(found.trials):
        yield _fact("saved", saved)
    best_one = found.best
    if best_one is not None:
        yield _fact("best", f"trial {best_one.number}: {_values(best_one, found.goal)}")
        for line in dump_params(best_one.params).splitlines():
            yield _fact("", line)
    if len(found.pareto_front) > 1:
        yield _fact(
            "front",
            f"{len(found.pareto_front)} trials (clearml-hpo study best {record.study_id[:_SHORT_ID]} --format json)",
        )
    for trial in _last_failures(found):
        yield _fact("failure", f"trial {trial.number} {trial.state.value}{f': {trial.reason}' if trial.reason else ''}")


def _holder(found: Study) -> str:
    """Who drives the study; of one that died without a word, when it was last heard of."""
    record = found.record
    if not record.holder or found.is_driven():
        return record.holder or "no controller"
    seen = f", last heard of {moment(record.updated_at)}" if record.updated_at else ""
    return f"no controller: {record.holder} is gone{seen}; to go on: clearml-hpo resume {record.study_id[:_SHORT_ID]}"


def _fact(name: str, text: str) -> Text:
    return Text.assemble((f"  {name:<10}", "dim"), text)


def _ended(found: Study) -> int:
    return sum(count for state, count in found.counts.items() if not state.is_live)


def _used(found: Study) -> list[str]:
    """What is used of each budget, and what there is."""
    budget, spent = found.file.budget, found.spent()
    clock = display.clock
    lines: list[tuple[object, str]] = [
        (budget.trials, f"{_ended(found)} of {budget.trials} trials"),
        (budget.wall_s, f"{clock(spent.wall_s)} of {clock(budget.wall_s or 0)} time"),
        (budget.compute_s, f"{clock(spent.compute_s)} of {clock(budget.compute_s or 0)} compute time"),
        (budget.gpu_s, f"{clock(spent.gpu_s)} of {clock(budget.gpu_s or 0)} GPU time"),
        (budget.iterations, f"{spent.iterations} of {budget.iterations} iterations"),
        (budget.target, f"until {budget.target}"),
        (budget.stale_trials, f"{spent.trials_since_best} of {budget.stale_trials} trials without improvement"),
        (budget.stale_s, f"{clock(spent.s_since_best)} of {clock(budget.stale_s or 0)} without improvement"),
        (budget.flat, f"until a trial is expected to gain {100 * (budget.flat or 0):g} % of what was gained"),
    ]
    return [line for limit, line in lines if limit is not None]


# --- trials --------------------------------------------------------------------------------------------------------


def _last_failures(found: Study) -> list[Trial]:
    failed = [trial for trial in found.trials if trial.state.is_failure]
    return sorted(failed, key=lambda trial: trial.ended_at or 0.0)[-_LAST_FAILURES:]


def _rank(trial: Trial, goal: Goal) -> tuple[bool, bool, float]:
    """Sorts the best first: completed ones that keep the constraints, the other completed ones, the rest."""
    value = trial.value if trial.value is not None and math.isfinite(trial.value) else math.inf
    sign = -1.0 if goal.objectives[0].direction == "maximize" and value != math.inf else 1.0
    return trial.final_values is None, not trial.is_feasible, sign * value


def _point(trial: Trial, goal: Goal) -> dict[str, Any]:
    values = dict(zip((objective.metric for objective in goal.objectives), trial.values, strict=False))
    return {"number": trial.number, "task_id": trial.task_id, "values": values, "params": dict(trial.params)}


def _values(trial: Trial, goal: Goal) -> str:
    pairs = zip(goal.objectives, trial.values, strict=False)
    return ", ".join(f"{objective.metric} = {value:.6g}" for objective, value in pairs if value is not None)
