"""``clearml-hpo open``."""

from __future__ import annotations

import sys
import webbrowser
from typing import TYPE_CHECKING

import click

from clearml_hpo.cli.completion import complete_studies
from clearml_hpo.cli.connection import use_lasting_server
from clearml_hpo.core.errors import InputError
from clearml_hpo.machine import settings

if TYPE_CHECKING:
    from clearml_hpo.backend.api import Api

_SCREENS = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")


@click.command()
@click.argument("study", metavar="[STUDY]", required=False, shell_complete=complete_studies)
@click.option("--local", is_flag=True, help="The embedded server's, also if another server is configured.")
def open(study: str | None, local: bool) -> None:
    """Open the page of a study or a campaign in the browser, or the server's first page; prints its address.

    STUDY is its id, at least six characters that it begins with, or its name.

    \b
    Examples:
      clearml-hpo open 3f9c2a
      clearml-hpo open credit-catboost
      clearml-hpo open
    """
    use_lasting_server(local=local)
    from clearml_hpo.backend.api import Api

    api = Api()
    url = _page(api, study) if study else api.web
    click.echo(url)
    if sys.platform == "darwin" or any(map(settings.child_environ().get, _SCREENS)):
        webbrowser.open(url)


def _page(api: Api, study: str) -> str:
    from clearml_hpo.backend.campaigns import read_campaign
    from clearml_hpo.backend.study_records import read_study

    try:
        return read_study(api, study).url
    except InputError as error:
        try:
            return read_campaign(api, study).url
        except InputError:
            raise error from None
