"""``clearml-hpo resume``."""

from __future__ import annotations

from typing import Any

import click

from clearml_hpo.cli.completion import complete_studies
from clearml_hpo.cli.driving import Options, drive, driving_options
from clearml_hpo.machine import settings


@click.command()
@click.argument("study", metavar="[STUDY]", required=False, shell_complete=complete_studies)
@driving_options
def resume(study: str | None, **given: Any) -> None:
    """Go on with a study, from any machine: STUDY is its id (the controller task's), the id's beginning, or its name.

    Everything is read back from the server: finished trials are known, running ones are watched, waiting ones are kept.
    Inside of a ClearML task, such as one that `clearml-hpo launch` has made, STUDY is that task.

    \b
    Examples:
      clearml-hpo resume 3f9c2a
      clearml-hpo resume 3f9c2a --set budget.trials=100
      clearml-hpo resume 3f9c2a --take-over
    """
    options = Options(**given)
    study_id = study or settings.load().task_id
    if not study_id:
        raise click.UsageError("which study? `clearml-hpo study list` shows them")
    drive(options, lambda opening: opening.by_id(study_id, options.all_overrides))
