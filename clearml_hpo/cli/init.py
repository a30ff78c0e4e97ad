"""``clearml-hpo init``."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clearml_hpo.cli.choices import Choice
from clearml_hpo.cli.formats import Out, prints
from clearml_hpo.core.errors import InputError

if TYPE_CHECKING:
    from clearml_hpo.drafting.draft import Draft
    from clearml_hpo.drafting.found import Findings, Found, Metric

_TEMPLATES = ("catboost", "xgboost", "lightgbm", "sklearn", "minimal")


@dataclass(frozen=True)
class _Options:
    """What the command line says."""

    output: Path
    arguments: tuple[str, ...]
    launcher: str | None
    objective: str | None
    direction: str | None
    trials: int | None
    runs: bool
    asks: bool
    is_json: bool


@click.command()
@click.argument("target", metavar="[SCRIPT|TASK_ID|FOLDER]", required=False)
@click.option("--template", type=Choice(_TEMPLATES), help="Copy a template into FOLDER, with its spaces and a study.")
@click.option("--output", "-o", type=click.Path(path_type=Path), default=Path("study.yaml"), show_default=True)
@click.option("--force", is_flag=True, help="Overwrite files.")
@click.option("--yes", "-y", is_flag=True, help="Ask nothing, take what is proposed.")
@click.option(
    "--argument", "arguments", multiple=True, metavar="TEXT", help="What the script is called with: '--data d.csv'."
)
@click.option("--launcher", metavar="COMMAND", help="What starts the script: 'torchrun --nproc-per-node 2'.")
@click.option("--objective", metavar="TITLE/SERIES", help="The scalar that counts.")
@click.option("--direction", type=click.Choice(["minimize", "maximize"]), help="Which of its values are better.")
@click.option("--trials", type=click.IntRange(1), help="The budget.")
@click.option("--no-run", is_flag=True, help="Never run the script, only read it.")
@click.option("--local", is_flag=True, help="The task is on the embedded server.")
@prints("yaml", "json", to_file=False)
def init(
    target: str | None,
    template: str | None,
    output: Path,
    force: bool,
    yes: bool,
    arguments: tuple[str, ...],
    launcher: str | None,
    objective: str | None,
    direction: str | None,
    trials: int | None,
    no_run: bool,
    local: bool,
    out: Out,
) -> None:
    """Draft a study file from a training script, or from a task that has run.

    Reads the script for its hyperparameters and the scalars that it reports, and proposes ranges. Where reading is not
    enough, its first steps run offline, without a ClearML server. As JSON it prints the proposal, and writes and
    asks nothing.

    \b
    Examples:
      clearml-hpo init train.py
      clearml-hpo init train.py --yes --argument '--data data.csv' --objective validation/loss
      clearml-hpo init 3f9c2a1b5d7e4f60a1b2c3d4e5f60718
      clearml-hpo init --template xgboost my_study
    """
    if template is not None:
        _copy(template, Path(target or template), force)
        return
    if target is None:
        raise click.UsageError("name a script or a task; or --template NAME")
    if not out.is_json and output.exists() and not force:
        raise InputError(f"{output} is there already: --output FILE writes another one, --force overwrites it")
    asks = not yes and not out.is_json and sys.stdin.isatty() and sys.stdout.isatty()
    given = tuple(word for text in arguments for word in shlex.split(text))
    options = _Options(output, given, launcher, objective, direction, trials, not no_run, asks, out.is_json)
    draft = _of_script(target, options) if _is_script(target) else _of_task(target, options, local=local)
    draft = _choose(draft, options)
    if out.is_json:
        click.echo(json.dumps(_as_json(draft), indent=2, default=str))
        return
    _write(draft, output)


def _copy(template: str, folder: Path, force: bool) -> None:
    from clearml_hpo.drafting import starters

    for path in starters.copy(template, folder, force=force):
        click.echo(f"wrote {path}")
    click.echo(f"next: clearml-hpo run {shlex.quote(str(folder / 'study.yaml'))} --local")


def _is_script(target: str) -> bool:
    return target.endswith(".py") or Path(target).exists()


def _of_task(task_id: str, options: _Options, *, local: bool) -> Draft:
    """Proposes a study of a task on the server."""
    from clearml_hpo.cli.connection import server_of_studies

    if not task_id.isalnum():
        raise InputError(f"{task_id}: no such file, and no id of a task")
    with server_of_studies(local=local):
        from clearml_hpo.backend.api import Api
        from clearml_hpo.backend.template import reported_metrics, template_by_id

        api = Api()
        template = template_by_id(api, task_id)
        template = replace(template, metrics=reported_metrics(api, template))
    from clearml_hpo.drafting.draft import draft
    from clearml_hpo.drafting.recorded import of_task

    findings = of_task(template)
    if not findings.parameters:
        raise InputError(
            f"the task {template.name!r} ({task_id}) has no hyperparameters: draft from its script instead"
        )
    return draft(f"tune-{template.name}", {"task": task_id}, findings, f"the task {template.name!r}")


def _of_script(target: str, options: _Options) -> Draft:
    """Proposes a study of a script."""
    from clearml_hpo.drafting.draft import draft
    from clearml_hpo.drafting.first_steps import LONGEST_S, with_first_steps
    from clearml_hpo.drafting.location import Location
    from clearml_hpo.drafting.script import read_script

    place = Location.of(Path(target), options.output.parent)
    findings = read_script(place.script, place.root)
    arguments = _arguments(findings, options)
    is_reported = any(not metric.is_guess for metric in findings.metrics)
    must_run = bool(findings.gaps) or not findings.parameters or not is_reported
    if must_run and options.runs and not findings.before:
        for gap in (*findings.gaps, *(findings.unnamed if not findings.metrics else ())):
            click.echo(f"cannot be read: {gap}", err=True)
        at_most = f"until its first scalars, {LONGEST_S:g} s at most"
        click.echo(f"running the first steps of {place.script.name} offline, {at_most}", err=True)
        findings = with_first_steps(findings, place.target, place.folder, arguments)
    template = dict(place.template)
    template |= {"arguments": list(arguments)} if arguments else {}
    if options.launcher:
        template |= {"launcher": options.launcher}
        named = [word for word in shlex.split(options.launcher) if (place.folder / word).is_file()]
        beside = [os.path.relpath(place.folder / word, options.output.parent) for word in named if word[0] != "/"]
        template |= {"files": beside} if beside else {}
    return draft(place.study_name, template, findings, place.script.name)


def _arguments(findings: Findings, options: _Options) -> tuple[str, ...]:
    """What the script is called with; asks for what it cannot do without."""
    from clearml_hpo.drafting.draft import missing_arguments

    given = list(options.arguments)
    missing = missing_arguments(findings.parameters, given)
    if missing and not options.asks:
        named = ", ".join(_shown(found) for found in missing)
        example = " ".join(f"{found.flag} VALUE".strip() for found in missing)
        raise InputError(f"the script needs arguments: {named}; give them: --argument '{example}'")
    for found in missing:
        answer = click.prompt(f"the script needs {_shown(found)}")
        given += [*filter(None, [found.flag]), *shlex.split(answer)]
    return tuple(given)


def _shown(found: Found) -> str:
    return found.flag or found.bare


def _choose(draft: Draft, options: _Options) -> Draft:
    """The draft with what the command line, or the user, says."""
    from clearml_hpo.cli import proposal
    from clearml_hpo.drafting.draft import trials_for
    from clearml_hpo.drafting.metrics import metric

    if options.objective is not None:
        _check_objective(options.objective, draft.findings.metrics)
        draft = replace(draft, objective=metric(options.objective))
    if options.asks:
        proposal.print_parameters(draft)
        draft = proposal.ask_parameters(draft)
        if options.objective is None:
            draft = proposal.ask_objective(draft)
        if options.trials is None:
            trials = click.prompt("trials", default=trials_for(len(draft.varied)), type=click.IntRange(1))
            draft = replace(draft, trials=trials)
    elif draft.ranges and not options.is_json:
        proposal.print_parameters(draft)
    if options.direction and draft.objective is not None:
        draft = replace(draft, objective=replace(draft.objective, direction=options.direction))
    return replace(draft, trials=options.trials) if options.trials else draft


def _check_objective(name: str, metrics: Sequence[Metric]) -> None:
    if "/" not in name:
        known = ", ".join(metric.name for metric in metrics)
        raise InputError(f"--objective {name}: expected title/series{f'; found: {known}' if known else ''}")


def _as_json(draft: Draft) -> dict[str, Any]:
    return {
        "study": draft.name,
        "template": dict(draft.template),
        "objective": draft.objective and {"metric": draft.objective.name, "direction": draft.direction},
        "trials": draft.trials,
        "parameters": [
            {
                "name": found.name,
                "type": found.kind,
                "default": found.default,
                "range": draft.ranges[found.name].definition if draft.ranges[found.name].is_varied else None,
                "why": draft.ranges[found.name].why,
                "varied": found.name in draft.varied,
            }
            for found in draft.findings.parameters
            if found.name in draft.ranges
        ],
        "metrics": [{"name": metric.name, "direction": metric.direction} for metric in draft.findings.metrics],
        "not_read": list(draft.findings.gaps),
        "before_the_first_run": list(_before(draft)),
    }


def _before(draft: Draft) -> Iterable[str]:
    """What must change before a study can run."""
    yield from draft.findings.before
    if not draft.findings.before and not draft.varied:
        yield 'no hyperparameter was found: connect some, task.connect({"lr": 0.1}), or parse them with argparse'
    if draft.objective is None:
        yield (
            "no scalar was found: report one, task.get_logger().report_scalar('validation', 'loss', value, iteration), "
            "and name it in the study file: objective.metric"
        )


def _write(draft: Draft, output: Path) -> None:
    """Writes the study file, checks it, and says what to do next."""
    from clearml_hpo.drafting.draft import text_of

    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text_of(draft), encoding="utf-8")
    others = [
        metric.name for metric in draft.findings.metrics if draft.objective and metric.name != draft.objective.name
    ]
    if draft.objective is not None:
        also = f" (also: {', '.join(others[:5])}{', ...' if len(others) > 5 else ''})" if others else ""
        unsure = "" if draft.objective.direction else " (a guess: its name does not say; --direction maximize)"
        click.echo(f"objective: {draft.direction} {draft.objective.name}{unsure}{also}")
    for gap in draft.findings.gaps:
        click.echo(f"not read: {gap}", err=True)
    click.echo(f"wrote {output}: {len(draft.varied)} of {len(draft.ranges)} parameters vary, {draft.trials} trials")
    before = [*_before(draft)]
    if before:
        lines = [f"before the first run: {text}" for text in before]
        raise InputError("\n".join([*lines, f"then draft it again; --force overwrites {output}"]))
    check_written(output)
    click.echo(f"next: clearml-hpo run {shlex.quote(os.fspath(output))} --local")


def check_written(output: Path) -> None:
    """Says that the file is sound; raises InputError."""
    from clearml_hpo.controller.check import check_study
    from clearml_hpo.study_file import load_study

    file = load_study(output)
    findings = check_study(file, None)
    if findings.faults:
        raise InputError(file.explain(findings.faults))
    click.echo(f"{output}: sound")
