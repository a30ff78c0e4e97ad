"""``clearml-hpo check``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clearml_hpo.cli.connection import is_embedded, say
from clearml_hpo.core.errors import InputError
from clearml_hpo.core.units import counted
from clearml_hpo.machine import settings
from clearml_hpo.machine.settings import Settings

if TYPE_CHECKING:
    from clearml_hpo.controller.check import Findings
    from clearml_hpo.study_file import StudyFile


@click.command()
@click.argument("study_file", metavar="FILE.yaml", type=click.Path(path_type=Path))
@click.option("--local", is_flag=True, help="Check against the embedded server, also if another one is configured.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key: budget.trials=5.")
def check(study_file: Path, local: bool, overrides: tuple[str, ...]) -> None:
    """Check a study or campaign file without running anything.

    Also that the template has every parameter of the search space and has reported the objective.

    \b
    Examples:
      clearml-hpo check study.yaml
      clearml-hpo check study.yaml --set sampler.name=random
      clearml-hpo check campaign.yaml
    """
    say(f"reading {study_file}")  # the libraries for that take a moment
    from clearml_hpo.controller.rehearsal import rehearse_all
    from clearml_hpo.study_file import is_campaign, load_campaign, load_study

    campaign = load_campaign(study_file, overrides) if is_campaign(study_file) else None
    files = [member.file for member in campaign.members] if campaign else [load_study(study_file, overrides)]
    rehearse_all(files)
    is_configured = not is_embedded(local=local)
    with ExitStack() as stack:
        has_server = is_configured or _use_embedded(stack, settings.load())
        from clearml_hpo.backend.api import Api
        from clearml_hpo.controller.check import check_study

        api = Api() if has_server else None
        if campaign is not None:
            from clearml_hpo.campaign.serving import check_resources

            check_resources(campaign.spec.resources, api if is_configured else None)
        check_queue = is_configured and campaign is None
        found = [(file, check_study(file, api, check_queue=check_queue)) for file in files]
    faults = [line for file, findings in found for line in file.explain(findings.faults).splitlines()]
    if faults:
        raise InputError("\n".join(dict.fromkeys(faults)))
    for file, findings in found:
        _show(f"{study_file}: " if campaign is None else f"{study_file}: {file.spec.study}: ", file, findings)


def _use_embedded(stack: ExitStack, here: Settings) -> bool:
    """Has this process use the embedded server, if there has been one; whether there is one."""
    if not (here.home / "server").is_dir():
        return False
    from clearml_hpo.driving.local import embedded_server

    settings.use_server(stack.enter_context(embedded_server(here, say)))
    return True


def _show(name: str, file: StudyFile, findings: Findings) -> None:
    click.echo(f"{name}sound: {counted(len(file.space.distributions), 'parameter')}, {file.goal}")
    for remark in findings.remarks:
        click.echo(f"  {remark}")
