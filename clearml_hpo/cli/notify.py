"""``clearml-hpo notify``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from clearml_hpo.cli.connection import say
from clearml_hpo.cli.exits import Exit
from clearml_hpo.core.errors import InputError


@click.group()
def notify() -> None:
    """Notifications of a study: the block `notify` of its file (docs/notifications.md).

    \b
    Examples:
      clearml-hpo notify test study.yaml
    """


@notify.command()
@click.argument("study_file", metavar="STUDY.yaml", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override: notify.slack.url_env=SLACK.")
def test(study_file: Path, overrides: tuple[str, ...]) -> None:
    """Send a test message by each channel of a study file, once, and say which arrived.

    No study starts, and no server is asked.

    \b
    Examples:
      clearml-hpo notify test study.yaml
      clearml-hpo notify test study.yaml --set notify.slack.url_env=TEAM_SLACK_URL
    """
    say(f"reading {study_file}")  # the libraries for that take a moment
    from clearml_hpo.notify import About, channels_of, faults_of_channels, sample_message, try_channels
    from clearml_hpo.study_file import load_study

    file = load_study(study_file, overrides)
    spec = file.spec.notify
    if spec is None:
        raise InputError(f"{study_file}: notify is missing: it says who is told; see docs/notifications.md")
    if faults := faults_of_channels(spec):
        raise InputError(file.explain(faults))
    message = sample_message(About(file.spec.study, project=file.spec.project), spec.events, time.time())
    is_complete = True
    for name, fault in try_channels(channels_of(spec), message):
        is_complete &= not fault
        click.echo(f"{name}: {f'not sent: {fault}' if fault else 'sent'}")
    sys.exit(Exit.DONE if is_complete else Exit.FAILED)
