"""``clearml-hpo campaign``: many studies on shared resources."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clearml_hpo.cli.closing import end_note
from clearml_hpo.cli.connection import is_embedded, server_of_studies
from clearml_hpo.cli.driving import log_format_option, sayer, use_embedded_server
from clearml_hpo.cli.exits import OF_AN_END
from clearml_hpo.cli.formats import Out, check_writable, moment, prints, write_result, writes_result
from clearml_hpo.driving.interrupts import stop_on_signals
from clearml_hpo.machine import settings
from clearml_hpo.views.display import clock
from clearml_hpo.views.json_console import LogFormat, console_for

if TYPE_CHECKING:
    from clearml_hpo.backend.campaigns import CampaignRecord
    from clearml_hpo.campaign.opening import CampaignOpening, OpenedCampaign
    from clearml_hpo.campaign.run import CampaignOutcome

_SHORT_ID = 8
_COLUMNS = ("campaign_id", "name", "status", "studies", "trials", "holder", "created_at", "ended_at", "url")

_local = click.option(
    "--local", is_flag=True, help="Embedded server; all resources are slots of this machine, also those with a queue."
)
_of_local = click.option("--local", is_flag=True, help="The embedded server's, also if another server is configured.")
_set = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override: budget.time=20m.")
_take_over = click.option("--take-over", is_flag=True, help="Displace a process that drives the campaign elsewhere.")


@click.group()
def campaign() -> None:
    """Many studies on shared resources: data sets times models, in order, no resource idle.

    ID is a campaign's id, at least six characters that it begins with, or its name.

    \b
    Examples:
      clearml-hpo campaign run campaign.yaml
      clearml-hpo campaign resume tabular-eight
      clearml-hpo campaign list
      clearml-hpo campaign status tabular-eight
      clearml-hpo campaign stop tabular-eight
      clearml-hpo campaign report tabular-eight --output report
    """


@campaign.command()
@click.argument("campaign_file", metavar="CAMPAIGN.yaml", type=click.Path(path_type=Path))
@click.option("--new", is_flag=True, help="Start another campaign of this name, also if one exists.")
@_local
@_set
@writes_result
@_take_over
@log_format_option
def run(
    campaign_file: Path,
    new: bool,
    local: bool,
    overrides: tuple[str, ...],
    output_file: Path | None,
    take_over: bool,
    log_format: LogFormat,
) -> None:
    """Run a campaign. It is on the ClearML server that is configured; with none, or --local, on an embedded one.

    A campaign of the same name in the same project goes on where it was left, whatever has ended it.

    \b
    Examples:
      clearml-hpo campaign run campaign.yaml --local
      clearml-hpo campaign run campaign.yaml --set budget.time=20m
    """
    sayer(console_for(log_format))(f"reading {campaign_file}")  # the libraries for that take a moment
    from clearml_hpo.controller.rehearsal import rehearse_all
    from clearml_hpo.study_file import load_campaign

    file = load_campaign(campaign_file, overrides)
    rehearse_all(member.file for member in file.members)
    _drive(lambda opening: opening.from_file(file, new=new), local, output_file, take_over, log_format)


@campaign.command()
@click.argument("campaign_id", metavar="[ID]", required=False)
@_local
@_set
@writes_result
@_take_over
@log_format_option
def resume(
    campaign_id: str | None,
    local: bool,
    overrides: tuple[str, ...],
    output_file: Path | None,
    take_over: bool,
    log_format: LogFormat,
) -> None:
    """Go on with a campaign. Finished studies stay, running trials are watched, lost ones run again.

    \b
    Examples:
      clearml-hpo campaign resume tabular-eight
      clearml-hpo campaign resume 3f9c2a --set budget.time=2h
    """
    wanted = campaign_id or settings.load().task_id
    if not wanted:
        raise click.UsageError("which campaign? give its id or its name")
    _drive(lambda opening: opening.by_id(wanted, overrides), local, output_file, take_over, log_format)


@campaign.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="No more than so many.")
@prints("table", "json", "csv")
@_of_local
def list_(limit: int, out: Out, local: bool) -> None:
    """List campaigns, newest first.

    \b
    Examples:
      clearml-hpo campaign list
      clearml-hpo campaign list --format json
    """
    with server_of_studies(local=local):
        from clearml_hpo.backend.api import Api
        from clearml_hpo.backend.campaigns import list_campaigns

        found = list_campaigns(Api())[:limit]
    out.rows([_facts(each) for each in found], _COLUMNS, _table(found))


@campaign.command()
@click.argument("campaign_id", metavar="ID")
@_of_local
def stop(campaign_id: str, local: bool) -> None:
    """End a campaign, wherever it is driven. `clearml-hpo campaign resume` goes on with it.

    Trials that wait do not start, those that run are aborted. The process that drives the campaign hears of it within
    some 15 s; where there is none, the campaign and its studies are ended at once.

    \b
    Examples:
      clearml-hpo campaign stop tabular-eight
    """
    with server_of_studies(local=local):
        from clearml_hpo.backend.api import Api
        from clearml_hpo.backend.campaigns import read_campaign
        from clearml_hpo.campaign.stopping import stop_campaign

        api = Api()
        record = read_campaign(api, campaign_id)
        if stop_campaign(api, record):
            click.echo(f"asked {record.properties.get('holder')} to stop campaign {record.name}")
        else:
            record = read_campaign(api, record.campaign_id)
            click.echo(f"campaign {record.name}: no controller drives it; it is {record.status}")


@campaign.command()
@click.argument("campaign_id", metavar="ID")
@prints("table", "json")
@_of_local
def status(campaign_id: str, out: Out, local: bool) -> None:
    """Show where a campaign stands, as the server has it.

    \b
    Examples:
      clearml-hpo campaign status tabular-eight
      clearml-hpo campaign status 3f9c2a --format json
    """
    with server_of_studies(local=local):
        from clearml_hpo.backend.api import Api
        from clearml_hpo.campaign.report import read_campaign_state
        from clearml_hpo.campaign.view import render

        state = read_campaign_state(Api(), campaign_id)
    record = state.record
    if out.is_json:
        out.json({**state.progress.as_dict(), "campaign_id": record.campaign_id, "status": record.status})
    else:
        out.show(f"{record.status}  {record.url}", render(state.progress, state.progress.seen_at))


@campaign.command()
@click.argument("campaign_id", metavar="ID")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write summary.html, report.txt, report.json, the best submissions in scores/, consoles in logs/.",
)
@click.option("--no-logs", is_flag=True, help="With --output: without the consoles of the trials.")
@prints("table", "json", to_file=False)
@_of_local
def report(campaign_id: str, output: Path | None, no_logs: bool, out: Out, local: bool) -> None:
    """Say what a campaign has found. It says how busy its resources were, too, and whether trials ran where they may.

    \b
    Examples:
      clearml-hpo campaign report tabular-eight
      clearml-hpo campaign report 3f9c2a --output report
    """
    with server_of_studies(local=local):
        from clearml_hpo.backend.api import Api
        from clearml_hpo.campaign.folder import write_folder
        from clearml_hpo.campaign.report import read_campaign_state, render_report, report_of

        api = Api()
        state = read_campaign_state(api, campaign_id)
        found, scores = report_of(state), 0
        if output is not None:
            scores = write_folder(api, state, output, logs=not no_logs, on_note=lambda text: click.echo(text, err=True))
    if out.is_json:
        out.json(found.as_dict())
    else:
        out.show(render_report(found))
    if output is not None:
        click.echo(f"{output}: summary.html, report.txt, report.json, {scores} submissions in scores/", err=out.is_json)


def _facts(record: CampaignRecord) -> dict[str, Any]:
    from clearml_hpo.studies.rows import iso

    return {
        "campaign_id": record.campaign_id,
        "name": record.name,
        "status": record.status,
        "studies": record.properties.get("studies", ""),
        "trials": int(record.properties.get("trials") or 0),
        "holder": record.properties.get("holder", ""),
        "created_at": iso(record.created_at),
        "ended_at": iso(record.ended_at),
        "url": record.url,
    }


def _table(found: Sequence[CampaignRecord]) -> Table:
    table = Table(box=None, pad_edge=False, expand=True)
    table.add_column("id", no_wrap=True)
    table.add_column("campaign", overflow="ellipsis", no_wrap=True, ratio=2)
    table.add_column("status", no_wrap=True)
    table.add_column("studies", overflow="ellipsis", no_wrap=True, ratio=3)
    table.add_column("trials", justify="right", no_wrap=True)
    table.add_column("made", no_wrap=True)
    for record in found:
        table.add_row(
            record.campaign_id[:_SHORT_ID],
            Text(record.name),
            record.status,
            record.properties.get("studies", ""),
            record.properties.get("trials", ""),
            moment(record.created_at),
        )
    return table


def _drive(
    find: Callable[[CampaignOpening], OpenedCampaign],
    is_local: bool,
    output_file: Path | None,
    take_over: bool,
    log_format: LogFormat,
) -> None:
    from clearml_hpo.server import process as server_process

    here = settings.load()
    if output_file is not None:
        check_writable(output_file)
    console = console_for(log_format)
    local = is_embedded(local=is_local, say=sayer(console))
    with ExitStack() as stack:
        if local:
            use_embedded_server(stack, console, here)
        stopped = stack.enter_context(stop_on_signals())
        outcome = _open_and_run(find, console, stopped, output_file, local=local, take_over=take_over)
    if outcome.status == "stopped":
        which = f"{outcome.campaign_id}{' --local' if is_local else ''}"
        console.print(f"to go on: clearml-hpo campaign resume {which}", markup=False, highlight=False, soft_wrap=True)
    if local and server_process.status(here.home / "server") is None:
        sayer(console)("to look at it again: clearml-hpo server start")
    sys.exit(OF_AN_END[outcome.status])


def _open_and_run(
    find: Callable[[CampaignOpening], OpenedCampaign],
    console: Console,
    stopped: threading.Event,
    output_file: Path | None,
    *,
    local: bool,
    take_over: bool,
) -> CampaignOutcome:
    from clearml_hpo.backend.api import Api
    from clearml_hpo.campaign.opening import CampaignOpening
    from clearml_hpo.campaign.report import read_campaign_state, render_report, report_of
    from clearml_hpo.campaign.run import CampaignRun
    from clearml_hpo.campaign.view import view_for

    api = Api()
    with api.asking_again(sayer(console), stopped):
        opened = find(CampaignOpening(api, sayer(console), stopped.wait, take_over=take_over))
    with view_for(console) as view:
        outcome = CampaignRun(opened, api, view, stopped, all_here=local).run()
    found = report_of(read_campaign_state(api, outcome.campaign_id))
    if output_file is not None:
        write_result(output_file, found.as_dict(), sayer(console))
    console.print(render_report(found))
    end = f"{outcome.status}: {outcome.reason} ({clock(outcome.progress.elapsed_s)})"
    for line in ("", end_note(end, outcome.status), outcome.url):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return outcome
