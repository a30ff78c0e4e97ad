"""``clearml-hpo run``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from clearml_hpo.cli.driving import Options, drive, driving_options, sayer
from clearml_hpo.cli.gateway_database import check_extra
from clearml_hpo.views.json_console import console_for


@click.command()
@click.argument("study_file", metavar="STUDY.yaml", type=click.Path(path_type=Path))
@click.option("--new", is_flag=True, help="Start another study of this name, also if one exists.")
@click.option("--gateway", is_flag=True, help="Hand the trials of queue `outside` out over HTTP, on this machine.")
@driving_options
def run(study_file: Path, new: bool, gateway: bool, **given: Any) -> None:
    """Run a study: on the ClearML server that is configured; with none, or --local, on an embedded one.

    A study of the same name in the same project goes on where it was left, whatever has ended it; one that is finished
    is shown, or continued if the budget is larger now.

    \b
    Examples:
      clearml-hpo run study.yaml --local
      clearml-hpo run study.yaml --local --cpu 4 --threads 2
      clearml-hpo run study.yaml --local --agents 2
      clearml-hpo run study.yaml --set budget.trials=50 --set sampler.seed=1
      clearml-hpo run study.yaml --new --output out.json
      clearml-hpo run study.yaml --gateway --set execution.queue=outside
    """
    options = Options(**given)
    sayer(console_for(options.log_format))(f"reading {study_file}")  # the libraries for that take a moment
    from clearml_hpo.controller.rehearsal import rehearse
    from clearml_hpo.study_file import load_study

    if gateway:
        check_extra()
    file = load_study(study_file, options.all_overrides)
    rehearse(file)
    drive(options, lambda opening: opening.from_file(file, new=new), file if gateway else None)
