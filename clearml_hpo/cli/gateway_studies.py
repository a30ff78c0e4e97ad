"""``clearml-hpo gateway study``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from clearml_hpo.cli.connection import say, use_lasting_server
from clearml_hpo.cli.formats import Out, moment, prints
from clearml_hpo.cli.gateway_database import PROJECT, check_extra, database_option, open_database
from clearml_hpo.cli.quantities import duration
from clearml_hpo.core.errors import InputError

_COLUMNS = ("id", "name", "project", "state", "trials", "outbox", "created", "controller")


@click.group()
def study() -> None:
    """Have the gateway drive studies of ordinary study files; list all that it has.

    \b
    Examples:
      clearml-hpo gateway study add study.yaml
      clearml-hpo gateway study list
    """


@study.command(name="add")
@click.argument("study_file", metavar="STUDY.yaml", type=click.Path(path_type=Path))
@click.option("--project", default=PROJECT, show_default=True, help="Whose tokens may ask for its trials.")
@click.option(
    "--lease", callback=duration, default="10m", show_default=True, help="How long a silent worker is waited for."
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override: budget.trials=5.")
@click.option("--new", is_flag=True, help="Also if there is a study of this name in its ClearML project.")
@click.option("--local", is_flag=True, help="On the embedded server, also if another one is configured.")
@database_option
@prints("table", "json", to_file=False)
def add(
    study_file: Path,
    project: str,
    lease: float,
    overrides: tuple[str, ...],
    new: bool,
    local: bool,
    database: str | None,
    out: Out,
) -> None:
    """Have the gateway drive a study, of which some queue is `outside`: [gpu, outside] shares it with agents.

    A gateway that runs opens it within seconds; else the next one does. Workers find it by its name. A script that
    never ran is tried on the other queues first: outside workers get trials after that.

    \b
    Examples:
      clearml-hpo gateway study add study.yaml --set execution.queue=outside
    """
    check_extra()
    say(f"reading {study_file}")  # the libraries for that take a moment
    from clearml_hpo.backend.api import Api
    from clearml_hpo.backend.study_records import read_study
    from clearml_hpo.controller.launch import draft_study
    from clearml_hpo.controller.policy import goes_outside
    from clearml_hpo.controller.rehearsal import rehearse
    from clearml_hpo.gateway.db import accounts, studies
    from clearml_hpo.gateway.v1.names import suid_of
    from clearml_hpo.study_file import load_study

    file = load_study(study_file, overrides)
    if not goes_outside(file):
        raise InputError(f"{study_file}: execution.queue: no trial goes to outside workers; add the queue `outside`")
    rehearse(file, is_driven_here=False)
    use_lasting_server(local=local)
    with open_database(database) as opened:
        name = file.spec.study
        with opened.write() as connection:
            where = accounts.ensure_project(connection, project)
            known = studies.find(connection, where.id, suid_of(name))
        if known is not None:
            raise InputError(f"the gateway has a study {name!r} in project {project} already: {known.id}")
        api = Api()
        task = draft_study(api, file, new=new)
        text = read_study(api, task.task_id).study_yaml
        with opened.write() as connection:
            row = studies.add(
                connection,
                where.id,
                suid_of(name),
                name=name,
                file=text,
                controller=task.task_id,
                lease_s=lease,
            )
    if out.is_json:
        out.json({"study": row.id, "controller": task.task_id, "url": task.url})
        return
    out.show(f"study {name}: {row.id}", task.url)


@study.command(name="list")
@click.option("--project", default="", help="Only those of this project.")
@database_option
@prints("table", "json", "csv")
def list_(project: str, database: str | None, out: Out) -> None:
    """List the studies, the newest first, with the trials that workers have and what is still to be written.

    A study is `driven` if it goes on by itself, `under way` if workers have trials of it, else `idle`: a gateway opens
    it at the next ask. What became of its trials: clearml-hpo study show CONTROLLER.

    \b
    Examples:
      clearml-hpo gateway study list
      clearml-hpo gateway study list --project vision --format json
    """
    from rich.markup import escape
    from rich.table import Table

    with open_database(database) as opened, opened.read() as connection:
        from clearml_hpo.gateway.db import accounts, handouts, outbox, studies

        known = {each.id: each.name for each in accounts.listed_projects(connection)}
        if project and project not in known.values():
            raise InputError(f"--project: the gateway has no project {project!r}; it has {', '.join(known.values())}")
        driven = {row.id for row in studies.to_drive(connection)}
        rows: list[dict[str, Any]] = []
        for row in studies.listed(connection):
            trials = len(handouts.of_study(connection, row.id, only_live=True))
            unwritten = outbox.count(connection, row.id)
            busy = "driven" if row.id in driven else "under way" if trials or unwritten else "idle"
            state = busy if row.state == studies.ACTIVE else row.state
            found = (row.id, row.name, known[row.project], state, trials, unwritten, row.created, row.controller)
            rows.append(dict(zip(_COLUMNS, found, strict=True)))
    rows = [each for each in rows if project in ("", each["project"])]
    table = Table(*_COLUMNS, box=None)
    for each in rows:
        shown = {**each, "created": moment(each["created"]), "controller": each["controller"][:8]}
        table.add_row(*(escape(str(value)) for value in shown.values()))
    out.rows(rows, _COLUMNS, table)
