"""``clearml-hpo launch``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from clearml_hpo.cli.connection import say, use_lasting_server
from clearml_hpo.cli.formats import Out, prints


@click.command()
@click.argument("study_file", metavar="STUDY.yaml", type=click.Path(path_type=Path))
@click.option("--queue", default="services", show_default=True, help="Whose agent is to drive the study.")
@click.option("--new", is_flag=True, help="Also if there is a study of this name in the project.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override: budget.trials=5.")
@click.option("--local", is_flag=True, help="On the embedded server, also if another one is configured.")
@prints("table", "json")
def launch(study_file: Path, queue: str, new: bool, overrides: tuple[str, ...], local: bool, out: Out) -> None:
    """Have an agent drive a study: its controller becomes a ClearML task, and waits in a queue.

    The agent needs this package; one in services mode drives several studies at once. In the web page the task, as any
    earlier controller, can be cloned, its configuration `study` edited, and the clone enqueued: that is a new study.

    \b
    Examples:
      clearml-hpo launch study.yaml --queue services
      clearml-hpo launch study.yaml --set budget.trials=200 --new
    """
    say(f"reading {study_file}")  # the libraries for that take a moment
    from clearml_hpo.backend.api import Api
    from clearml_hpo.controller.launch import launch_study
    from clearml_hpo.controller.rehearsal import rehearse
    from clearml_hpo.study_file import load_study

    file = load_study(study_file, overrides)
    rehearse(file, is_driven_here=False)
    use_lasting_server(local=local)

    launched = launch_study(Api(), file, queue, new=new)
    if out.is_json:
        out.json(asdict(launched))
        return
    said = [f"study {file.spec.study} waits in queue {queue}: {launched.study_id}", launched.url, launched.advice]
    out.show(*filter(None, said))
