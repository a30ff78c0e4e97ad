"""What a campaign has found and how its resources were used, from the server alone."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.campaigns import CampaignRecord, Run, read_campaign, read_runs
from clearml_hpo.backend.lease import driven_s
from clearml_hpo.backend.study_records import StudyRecord, find_studies
from clearml_hpo.backend.trial_records import TrialRecords, read_trials
from clearml_hpo.campaign.progress import CampaignProgress, ResourceProgress, Running, StudyProgress
from clearml_hpo.campaign.usage import ResourceUse, use_of
from clearml_hpo.campaign.view import datasets_table
from clearml_hpo.core.ranking import ranking
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.core.values import Value
from clearml_hpo.study_file import CampaignFile, Member, parse_campaign
from clearml_hpo.views.display import clock, short_params

_MOST_SHOWN = 5

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class CampaignState:
    """A campaign as read from the server.

    Attributes:
        studies: by name, as far as they were opened; ``trials`` are theirs.
        runs: all that its studies have run, attempts and first looks at templates included.
    """

    record: CampaignRecord
    file: CampaignFile
    studies: Mapping[str, StudyRecord]
    trials: Mapping[str, TrialRecords]
    runs: Sequence[Run]
    progress: CampaignProgress


@dataclass(frozen=True)
class Best:
    """The best trial of a study."""

    dataset: str
    model: str
    study_id: str
    metric: str
    direction: str
    value: float
    trial: int
    params: Mapping[str, Value]
    url: str
    task_id: str
    is_best_of_dataset: bool = False


@dataclass(frozen=True)
class CampaignReport:
    """What a campaign has found, and how it has used its resources.

    Attributes:
        status: ClearML's word for the campaign's task.
        driven_s: seconds that it was driven.
        misplaced: a line for each trial that ran where its model may not, or beside too many others.
    """

    campaign_id: str
    name: str
    status: str
    url: str
    driven_s: float
    trials: int
    failures: int
    trials_per_hour: float | None
    resources: tuple[ResourceUse, ...]
    misplaced: tuple[str, ...]
    best: tuple[Best, ...]
    progress: CampaignProgress

    def as_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {**asdict(self), "progress": self.progress.as_dict()}


def read_campaign_state(api: Api, campaign: str, *, about_to_be: str = "") -> CampaignState:
    """Reads a campaign by id or name, in a few calls and two for each of its studies.

    Args:
        about_to_be: the status in which it is about to end, by the controller that drives it.

    Raises:
        InputError: there is no such campaign, or several.
    """
    record = read_campaign(api, campaign)
    if about_to_be:
        record = replace(record, status=about_to_be, ended_at=time.time() + api.server_ahead_s)
    file = parse_campaign(record.text, f"campaign {record.campaign_id}")
    found = {study.name: study for study in reversed(find_studies(api, campaign=record.campaign_id))}
    studies = {member.name: found[member.name] for member in file.members if member.name in found}
    trials = {
        member.name: read_trials(api, studies[member.name].study_id, member.file.space, member.file.goal)
        for member in file.members
        if member.name in studies
    }
    runs = read_runs(api, record, [study.study_id for study in studies.values()])
    now = time.time() + api.server_ahead_s
    driven = record.driven_s
    members = tuple(
        _study(member, studies.get(member.name), trials.get(member.name), record.failures.get(member.name, ""), now)
        for member in file.members
    )
    ended = sum(study.trials for study in members)
    progress = CampaignProgress(
        record.name,
        driven,
        now,
        _resources(file, {study.study_id: name for name, study in studies.items()}, runs),
        members,
        ended / (driven / 3600) if driven and ended else None,
    )
    return CampaignState(record, file, studies, trials, runs, progress)


def _study(
    member: Member, record: StudyRecord | None, trials: TrialRecords | None, failure: str, now: float
) -> StudyProgress:
    goal, budget = member.file.goal, member.file.budget
    objective = goal.objectives[0]
    seen = StudyProgress(member.name, member.dataset, member.model, objective.metric, objective.direction)
    if record is None or trials is None:
        return replace(seen, state="failed", reason=failure) if failure else seen
    ended = [trial for trial in trials.settled if trial.state is not TrialState.STOPPED]
    ranked = _ranked(trials, member)
    driven = driven_s(record.properties, record.updated_at or now)
    return replace(
        seen,
        state="running" if record.status == "in_progress" else record.status,
        trials=len(ended),
        failures=sum(trial.state.is_failure for trial in ended),
        best=ranked[0].value if ranked else None,
        left_s=_left(budget.wall_s, driven),
        left_trials=_left(budget.trials, len(ended)),
        reason=record.reason,
        study_id=record.study_id,
    )


def _left(limit: Number | None, used: Number) -> Number | None:
    return None if limit is None else max(limit - used, type(used)(0))


def _resources(file: CampaignFile, names: Mapping[str, str], runs: Sequence[Run]) -> tuple[ResourceProgress, ...]:
    found = []
    for resource, spec in file.spec.resources.items():
        live = [run for run in runs if run.resource == resource and run.is_live]
        running = [run for run in live if run.status == "in_progress"]
        found.append(
            ResourceProgress(
                resource,
                spec.takes if spec.queue is None else None,
                tuple(Running(names[run.study_id], run.trial, run.started_at) for run in running),
                len(live) - len(running),
            )
        )
    return tuple(found)


def report_of(state: CampaignState) -> CampaignReport:
    """The report of a campaign as it stands."""
    uses = tuple(_uses(state))
    return CampaignReport(
        state.record.campaign_id,
        state.record.name,
        state.record.status,
        state.record.url,
        state.progress.elapsed_s,
        state.progress.trials,
        state.progress.failures,
        state.progress.trials_per_hour,
        uses,
        tuple(_misplaced(state, uses)),
        tuple(_best(state)),
        state.progress,
    )


def _uses(state: CampaignState) -> Iterable[ResourceUse]:
    models = {state.studies[m.name].study_id: m.model for m in state.file.members if m.name in state.studies}
    for name, spec in state.file.spec.resources.items():
        yield use_of(
            name,
            [run for run in state.runs if run.resource == name],
            takes=spec.takes if spec.queue is None else None,
            models=models,
            driven=state.record.driven,
            work_until=_work_until(state, name),
        )


def _work_until(state: CampaignState, resource: str) -> float | None:
    """When the last trial that might use a resource has ended, in seconds since the epoch; None is not yet."""
    names = [member.name for member in state.file.members if resource in member.resources]
    records = [state.studies[name] for name in names if name in state.studies]
    if len(records) < len(names) or any(record.ended_at is None for record in records):
        return None
    may_use = {record.study_id for record in records}
    return max((run.ended_at or 0.0 for run in state.runs if run.study_id in may_use), default=0.0)


def _misplaced(state: CampaignState, uses: Sequence[ResourceUse]) -> Iterable[str]:
    members = {state.studies[m.name].study_id: m for m in state.file.members if m.name in state.studies}
    for run in state.runs:
        member = members[run.study_id]
        if run.started_at is not None and run.resource not in member.resources:
            where = run.resource or f"an unknown resource ({run.worker})"
            yield f"{member.name} trial {run.trial} ran on {where}, not on {' or '.join(member.resources)}"
    for use in uses:
        if use.most_at_once > use.takes:
            yield f"{use.name} ran {use.most_at_once} trials at once, and takes {use.takes}"


def _best(state: CampaignState) -> Iterable[Best]:
    for member in state.file.members:
        trials = state.trials.get(member.name)
        ranked = _ranked(trials, member)
        if not ranked or ranked[0].value is None:
            continue
        record, objective = state.studies[member.name], member.file.goal.objectives[0]
        of_dataset = state.progress.best_of(member.dataset)
        yield Best(
            member.dataset,
            member.model,
            record.study_id,
            objective.metric,
            objective.direction,
            ranked[0].value,
            ranked[0].number,
            ranked[0].params,
            record.url_of(ranked[0].task_id),
            ranked[0].task_id,
            of_dataset is not None and of_dataset.name == member.name,
        )


def _ranked(trials: TrialRecords | None, member: Member) -> list[Trial]:
    """Those that completed with a value, the best first."""
    return [trial for trial in ranking(trials.settled if trials else (), member.file.goal) if trial.final_values]


def render_report(report: CampaignReport) -> RenderableType:
    """For a user, on 80 columns or more."""
    rate = "" if report.trials_per_hour is None else f", {report.trials_per_hour:.0f} an hour"
    failed = f", {report.failures} failed" if report.failures else ""
    head = f"{report.name}: {report.status}, {report.trials} trials in {clock(report.driven_s)}{rate}{failed}"
    placement = Text("every trial ran where its model may, and none beside too many others")
    if report.misplaced:
        shown = "\n".join(report.misplaced[:_MOST_SHOWN])
        more = len(report.misplaced) - _MOST_SHOWN
        placement = Text(shown + (f"\nand {more} more" if more > 0 else ""), style="red")
    return Group(
        Text(head, style="bold"),
        datasets_table(report.progress),
        "",
        _uses_table(report.resources),
        placement,
        "",
        _best_table(report.best),
    )


def _uses_table(uses: Sequence[ResourceUse]) -> Table:
    table = _table()
    table.add_column("resource", no_wrap=True)
    for name in ("busy", "trials", "at once"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("trials of each model", ratio=1)
    for use in uses:
        models = ", ".join(f"{model} {count}" for model, count in use.trials_of_model.items())
        numbers = (f"{use.busy_share:.0%}", str(use.trials), f"{use.most_at_once} of {use.takes}")
        table.add_row(Text(use.name), *numbers, Text(models))
    return table


def _best_table(best: Sequence[Best]) -> Table:
    table = _table()
    for name in ("data set", "model", "metric"):
        table.add_column(name, no_wrap=True)
    table.add_column("best", justify="right", no_wrap=True)
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("parameters", no_wrap=True, overflow="ellipsis", ratio=1)
    for each in best:
        style = "bold" if each.is_best_of_dataset else ""
        table.add_row(
            *(Text(text) for text in (each.dataset, each.model, each.metric)),
            Text(f"{each.value:.6g}", style=style),
            str(each.trial),
            Text(short_params(each.params)),
        )
    return table


def _table() -> Table:
    return Table(box=None, pad_edge=False, expand=True)
