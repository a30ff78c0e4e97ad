"""``clearml-hpo watch``."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click
from rich.console import Console

from clearml_hpo.cli.closing import EXIT, say_how_it_ended
from clearml_hpo.cli.connection import server_of_studies
from clearml_hpo.cli.quantities import duration
from clearml_hpo.display import LiveView, View, view_for
from clearml_hpo.errors import ApiError
from clearml_hpo.patience import Patience

if TYPE_CHECKING:
    from clearml_hpo.controller.watching import Look, Watch


@click.command(epilog="Exit codes: 0 the study is completed, 1 it failed, 2 bad input, 130 it was stopped, or Ctrl-C.")
@click.argument("study_id", metavar="ID")
@click.option("--project", help="Where a name is looked for.")
@click.option("--once", is_flag=True, help="Look once, and exit with 0.")
@click.option("--interval", callback=duration, default="2s", show_default=True, help="Time between looks.")
@click.option("--local", is_flag=True, help="The embedded server's, also if another server is configured.")
def watch(study_id: str, project: str | None, once: bool, interval: float, local: bool) -> None:
    """Watch a study, wherever its controller runs, until it ends; Ctrl-C ends the watching alone.

    ID is a study's id, at least six characters that it begins with, or its name. All is read from the server.

    \b
    Examples:
      clearml-hpo watch 3f9c2a
      clearml-hpo watch credit-catboost --project credit
      clearml-hpo watch 3f9c2a --once
    """
    if not interval > 0:
        raise click.BadParameter(f"{interval:g} s is no time to wait", param_hint="--interval")
    console = Console()
    with server_of_studies(local=local):
        from clearml_hpo.controller.handle import Study
        from clearml_hpo.controller.watching import Watch
        from clearml_hpo.tasks import Api

        watched = Watch(Study.load(study_id, project), Api())
        if once:
            _show_once(console, watched)
            return
        try:
            _follow(console, watched, interval)
        except KeyboardInterrupt:
            click.echo(f"watching ends; the study goes on: clearml-hpo watch {watched.study.study_id}", err=True)
            sys.exit(130)
    study = watched.study
    status, reason = study.record.status, study.record.reason
    wall_s, url = study.driven_s, study.url
    say_how_it_ended(console, study.goal, study.trials, status=status, reason=reason, wall_s=wall_s, url=url)
    sys.exit(EXIT.get(status, 0))


def _show_once(console: Console, watched: Watch) -> None:
    view = LiveView(console, watched.study.name, watched.study.goal)
    view.progress(watched.look().progress)
    console.print(view.render())


def _follow(console: Console, watched: Watch, interval_s: float) -> None:
    """Shows the study until it is over; a server in trouble is asked again, less and less often."""
    with view_for(console, watched.study.name, watched.study.goal) as view:
        view.note(f"study {watched.study.name}: {watched.study.url}")
        patience = Patience(interval_s, view.note)
        holder: str | None = None
        while True:
            try:
                look = watched.look()
                patience.succeeded()
                _show(view, look)
                holder = _say_who_drives(view, watched, look, holder)
                if look.is_over:
                    return
            except ApiError as error:
                patience.failed(error)
            time.sleep(patience.wait_s)


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
        nobody = "waits to be driven" if waits else f"nobody drives it; to go on: clearml-hpo resume {record.study_id}"
        view.note(f"driven by {holder}" if holder else nobody)
    return holder
