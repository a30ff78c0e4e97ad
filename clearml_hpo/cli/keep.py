"""``clearml-hpo study keep``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from clearml_hpo.cli.choices import Choice
from clearml_hpo.cli.completion import complete_studies
from clearml_hpo.cli.connection import load_study, server_of_studies

if TYPE_CHECKING:
    from clearml_hpo.backend.cleanup import Others


@click.command()
@click.argument("study_id", metavar="ID", shell_complete=complete_studies)
@click.option("--top", type=click.IntRange(min=1), required=True, metavar="N", help="So many of the best keep all.")
@click.option(
    "--others",
    type=Choice(["delete", "archive"]),
    default="delete",
    show_default=True,
    help="What becomes of the other trials: their models and artifacts are deleted, or all is archived.",
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--local", is_flag=True, help="The embedded server's, also if another server is configured.")
def keep(study_id: str, top: int, others: Others, dry_run: bool, yes: bool, local: bool) -> None:
    """Delete models and artifacts of all but the best trials. The trials stay in the experiment table.

    Never touched are trials that wait or run, the Pareto front, what is published, and files that are not under the
    task's own address.

    \b
    Examples:
      clearml-hpo study keep 3f9c2a --top 5 --dry-run
      clearml-hpo study keep 3f9c2a --top 5
      clearml-hpo study keep 3f9c2a --top 5 --others archive --yes
    """
    with server_of_studies(local=local):
        from clearml_hpo.backend.api import Api

        found = load_study(study_id)
        plan = found.keep_plan(top)
        if dry_run or not yes:
            click.echo((plan.measured(Api()) if others == "delete" else plan).text(others))
        if dry_run:
            return
        if not yes:
            click.confirm(f"{others} what is not kept?", abort=True)
        done = found.keep_top(plan, others, click.echo)
        click.echo(str(done))
    if done.left:
        raise click.ClickException(f"{len(done.left)} could not be deleted; run this again later")
