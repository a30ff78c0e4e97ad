"""``clearml-hpo completion``: names that a shell completes."""

from __future__ import annotations

import click

from clearml_hpo.cli.connection import use_lasting_server
from clearml_hpo.core.errors import ClearmlHpoError

_PROGRAM = "clearml-hpo"
_NEWEST = 50


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what has a shell complete commands, options and names of studies.

    \b
    Examples:
      echo 'eval "$(clearml-hpo completion bash)"' >> ~/.bashrc
      echo 'eval "$(clearml-hpo completion zsh)"' >> ~/.zshrc
      clearml-hpo completion fish > ~/.config/fish/completions/clearml-hpo.fish
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None  # click has these three
    command = click.get_current_context().find_root().command
    click.echo(found(command, {}, _PROGRAM, "_CLEARML_HPO_COMPLETE").source())


def complete_studies(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of the newest studies, if a server answers; none is started for that."""
    try:
        use_lasting_server(local=bool(ctx.params.get("local")), say=lambda text: None)
        from clearml_hpo.backend.api import Api
        from clearml_hpo.backend.study_records import find_studies

        names = [record.name for record in find_studies(Api(), limit=_NEWEST)]
    except ClearmlHpoError:
        return []
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]
