"""``clearml-hpo study report``."""

from __future__ import annotations

from pathlib import Path

import click

from clearml_hpo.cli.completion import complete_studies
from clearml_hpo.cli.connection import load_study, server_of_studies


@click.command()
@click.argument("study_id", metavar="ID", shell_complete=complete_studies)
@click.option(
    "--output",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where to; default: a folder of the study's name here.",
)
@click.option(
    "--top", type=click.IntRange(min=1), default=10, show_default=True, help="So many of the best are listed."
)
@click.option("--logs/--no-logs", default=True, show_default=True, help="The console of each trial, too.")
@click.option("--local", is_flag=True, help="The embedded server's, also if another server is configured.")
def report(study_id: str, folder: Path | None, top: int, logs: bool, local: bool) -> None:
    """Write a folder with a study's plots, trials, submissions and logs.

    \b
      summary.html   one file with all plots, which needs nothing else
      summary.txt    the same in words
      trials.csv     all trials
      best.yaml      the best parameters
      scores/        the artifact `submission` of the best trials, named by study, metric and value
      logs/          the console of each attempt

    \b
    Examples:
      clearml-hpo study report 3f9c2a
      clearml-hpo study report 3f9c2a --output credit --top 3
      clearml-hpo study report 3f9c2a --no-logs
    """
    with server_of_studies(local=local):
        from clearml_hpo.backend.api import Api
        from clearml_hpo.studies.folder import plain_name, write_folder

        study = load_study(study_id)
        folder = folder or Path(plain_name(study.name))
        written = write_folder(Api(), study, folder, top=top, logs=logs, on_note=click.echo)
        click.echo(f"{folder / 'summary.html'}, and {len(written.files) - 1} more files")
    if written.missing:
        raise click.ClickException(f"{len(written.missing)} could not be fetched")
