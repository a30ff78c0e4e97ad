"""``clearml-hpo watch``."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from clearml_hpo.backend.backoff import Backoff
from clearml_hpo.cli import output
from clearml_hpo.cli.closing import say_how_it_ended
from clearml_hpo.cli.completion import complete_studies
from clearml_hpo.cli.connection import load_study, server_of_studies
from clearml_hpo.cli.exits import OF_AN_END, Exit
from clearml_hpo.cli.formats import Out, finite, prints
from clearml_hpo.cli.quantities import duration
from clearml_hpo.core.errors import ApiError, InputError
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial, best_trial
from clearml_hpo.views.display import LiveView, Progress, View, view_for

if TYPE_CHECKING:
    from clearml_hpo.campaign.progress import CampaignProgress
    from clearml_hpo.studies.watching import Look, Watch

_CAMPAIGN_S = 5.0
"""Period of a screen that watches a campaign: a look costs some calls for each study."""


@click.command()
@click.argument("study_id", metavar="ID", shell_complete=complete_studies)
@click.option("--project", help="Where a name is looked for.")
@click.option("--once", is_flag=True, help="Look once, and exit with 0.")
@click.option("--interval", callback=duration, default="2s", show_default=True, help="Time between looks.")
@prints("table", "json", to_file=False)
@click.option("--local", is_flag=True, help="The embedded server's, also if another server is configured.")
def watch(study_id: str, project: str | None, once: bool, interval: float, out: Out, local: bool) -> None:
    """Watch a study or a campaign, wherever it is driven, until it ends; Ctrl-C ends the watching alone.

    ID is its id, at least six characters that it begins with, or its name. All is read from the server.
    As JSON it prints an object a line: for each change, and for the end.

    \b
    Examples:
      clearml-hpo watch 3f9c2a
      clearml-hpo watch credit-catboost --project credit
      clearml-hpo watch 3f9c2a --once
      clearml-hpo watch 3f9c2a --format json | jq .
    """
    as_json = out.is_json
    if not interval > 0:
        raise click.BadParameter(f"{interval:g} s is no time to wait", param_hint="--interval")
    console = Console()
    with server_of_studies(local=local):
        from clearml_hpo.backend.api import Api
        from clearml_hpo.studies.watching import Watch

        try:
            watched = Watch(load_study(study_id, project), Api())
        except InputError as error:
            _watch_campaign(console, study_id, error, max(interval, _CAMPAIGN_S), once=once, as_json=as_json)
            return
        if once:
            _show_once(console, watched, as_json)
            return
        try:
            view = (
                _JsonLines(watched.study.goal) if as_json else view_for(console, watched.study.name, watched.study.goal)
            )
            _follow(view, watched, interval)
        except KeyboardInterrupt:
            click.echo(f"watching ends; the study goes on: clearml-hpo watch {watched.study.study_id}", err=True)
            sys.exit(Exit.INTERRUPTED)
    study = watched.study
    status, reason = study.record.status, study.record.reason
    wall_s, url = study.driven_s, study.url
    if as_json:
        _print({"status": status, "reason": reason, "driven_s": round(wall_s, 3), "url": url})
    else:
        say_how_it_ended(console, study.goal, study.trials, status=status, reason=reason, wall_s=wall_s, url=url)
    sys.exit(OF_AN_END.get(status, 0))


def _watch_campaign(
    console: Console, campaign: str, no_study: InputError, interval_s: float, *, once: bool, as_json: bool
) -> None:
    """Exits as a study's watch does; raises InputError with both reasons if it is no campaign either."""
    from clearml_hpo.backend.api import Api
    from clearml_hpo.campaign.report import read_campaign_state
    from clearml_hpo.campaign.view import render
    from clearml_hpo.campaign.view import view_for as campaign_view_for

    api = Api()
    try:
        state = read_campaign_state(api, campaign)
    except InputError as error:
        raise InputError(f"{no_study}\n{error}") from None
    if once and not as_json:
        console.print(render(state.progress, state.progress.seen_at))
        return
    with _CampaignJsonLines() if as_json else campaign_view_for(console) as view:
        view.note(f"campaign {state.record.name}: {state.record.url}")
        view.progress(state.progress)
        backoff = Backoff(interval_s, view.note)
        try:
            while not once and not state.record.is_over and output.is_read():
                time.sleep(backoff.wait_s)
                try:
                    state = read_campaign_state(api, state.record.campaign_id)
                    backoff.succeeded()
                except ApiError as error:
                    backoff.failed(error)
                view.progress(state.progress)
        except KeyboardInterrupt:
            view.note(f"watching ends; the campaign goes on: clearml-hpo watch {state.record.campaign_id}")
            sys.exit(Exit.INTERRUPTED)
        view.note(f"{state.record.status}: {state.record.reason}")
    sys.exit(0 if once else OF_AN_END.get(state.record.status, 0))


class _CampaignJsonLines:
    """For programs: a JSON object a line, ``{"note": ...}`` or the campaign as it stands when something has changed."""

    def __init__(self) -> None:
        self._before: object = None

    def __enter__(self) -> _CampaignJsonLines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def note(self, text: str) -> None:
        """Prints it."""
        _print({"note": text})

    def progress(self, progress: CampaignProgress) -> None:
        """Prints what has changed but for the clock."""
        now = (progress.resources, [replace(study, left_s=None) for study in progress.studies])
        if now != self._before:
            _print(progress.as_dict())
        self._before = now


class _JsonLines:
    """A view for programs: one JSON object a line."""

    def __init__(self, goal: Goal) -> None:
        self._goal = goal
        self._before: dict[str, Any] = {}

    def __enter__(self) -> _JsonLines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def note(self, text: str) -> None:
        """``{"note": ...}``."""
        _print({"note": text})

    def trial(self, trial: Trial) -> None:
        """``{"trial": 7, "attempt": 1, "state": ..., "values": ..., "reason": ...}``."""
        values = {o.metric: value for o, value in zip(self._goal.objectives, trial.values, strict=False)}
        facts = {"trial": trial.number, "attempt": trial.attempt, "state": trial.state.value}
        _print({**facts, "values": values, "worker": trial.worker, "reason": trial.reason})

    def progress(self, progress: Progress) -> None:
        """Counts by state, workers by queue and the best, when one of them has changed."""
        best = best_trial(progress.trials, self._goal)
        now = {
            "trials": dict(Counter(trial.state.value for trial in progress.trials)),
            "budget": progress.budget,
            "workers": dict(progress.queues),
            "is_driven": progress.is_driven,
            "best_trial": best and best.number,
            "best_value": best and best.value,
        }
        if now != self._before:
            _print({**now, "driven_s": round(progress.elapsed_s, 3)})
        self._before = now


def _print(facts: dict[str, Any]) -> None:
    click.echo(json.dumps(finite(facts)))


def _show_once(console: Console, watched: Watch, as_json: bool) -> None:
    progress, goal = watched.look().progress, watched.study.goal
    if as_json:
        _JsonLines(goal).progress(progress)
        return
    view = LiveView(console, watched.study.name, goal)
    view.progress(progress)
    console.print(view.render())


def _follow(opened: View, watched: Watch, interval_s: float) -> None:
    """Shows the study until it is over; a server in trouble is asked again, less and less often."""
    with opened as view:
        view.note(f"study {watched.study.name}: {watched.study.url}")
        backoff = Backoff(interval_s, view.note)
        holder: str | None = None
        while output.is_read():
            try:
                look = watched.look()
                backoff.succeeded()
                _show(view, look)
                holder = _say_who_drives(view, watched, look, holder)
                if look.is_over:
                    return
            except ApiError as error:
                backoff.failed(error)
            time.sleep(backoff.wait_s)


def _show(view: View, look: Look) -> None:
    for trial in look.changed:
        view.trial(trial)
    view.progress(look.progress)


def _say_who_drives(view: View, watched: Watch, look: Look, before: str | None) -> str:
    """Notes who drives the study, when that has changed; returns it."""
    record = watched.study.record
    holder = record.holder if look.progress.is_driven else ""
    if holder != before and not look.is_over:
        waits = record.status in ("created", "queued") and not holder
        without = "waits for a controller"
        if not waits:
            without = f"no controller drives it; to go on: clearml-hpo resume {record.study_id}"
        view.note(f"driven by {holder}" if holder else without)
        if holder and record.dashboard:
            view.note(f"Dask dashboard: {record.dashboard}")
    return holder
