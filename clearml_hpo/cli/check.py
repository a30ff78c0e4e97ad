"""``clearml-hpo check``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from clearml_hpo import settings
from clearml_hpo.errors import InputError
from clearml_hpo.rehearsal import rehearse
from clearml_hpo.spec import load_study


@click.command(epilog="Exit codes: 0 sound, 2 bad input.")
@click.argument("study_file", metavar="STUDY.yaml", type=click.Path(path_type=Path))
@click.option("--local", is_flag=True, help="Check against the embedded server, also if another one is configured.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key: budget.trials=5.")
def check(study_file: Path, local: bool, overrides: tuple[str, ...]) -> None:
    """Check a study file without running anything.

    Also that the template has every parameter of the search space and has reported the objective.

    \b
    Examples:
      clearml-hpo check study.yaml
      clearml-hpo check study.yaml --set sampler.name=random
    """
    file = load_study(study_file, overrides)
    rehearse(file)
    here = settings.load()
    with ExitStack() as stack:
        has_server = is_configured = here.clearml_configured and not local
        if not has_server and (here.home / "server").is_dir():
            from clearml_hpo.cli.local import embedded_server

            settings.use_server(stack.enter_context(embedded_server(here, lambda text: None)))
            has_server = True
        # Imported late: ClearML's SDK takes a second, and a bad file should be said before.
        from clearml_hpo.controller.check import check_study
        from clearml_hpo.tasks import Api

        findings = check_study(file, Api() if has_server else None, check_queue=is_configured)
    if findings.faults:
        raise InputError(file.explain(findings.faults))
    click.echo(f"{study_file}: sound: {len(file.space.distributions)} parameters, {file.goal}")
    for remark in findings.remarks:
        click.echo(f"  {remark}")
