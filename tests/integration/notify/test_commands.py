"""``clearml-hpo notify test``, and what ``check`` says of notifications."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from clearml_hpo.cli import main
from tests.receivers import HttpReceiver, smtp_receiver

from .conftest import CANARY

STUDY = str(Path(__file__).parents[3] / "examples" / "05_own_script" / "study.yaml")


@pytest.fixture
def hpo(tmp_path, monkeypatch):
    """Runs a command on the example where no server is configured."""
    for name in ("CLEARML_API_HOST", "CLEARML_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLEARML_HPO_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("CLEARML_CONFIG_FILE", str(tmp_path / "none.conf"))

    def invoke(*words):
        sets = [word for given in words[1:] for word in ("--set", given)]
        result = CliRunner().invoke(main, [*words[0].split(), STUDY, *sets])
        assert CANARY not in result.output
        return result.exit_code, result.output.splitlines()

    return invoke


def test_each_channel_is_tried_and_told_of(hpo, monkeypatch):
    with HttpReceiver() as well, HttpReceiver(404) as ill, smtp_receiver(security="none") as (port, mailbox):
        monkeypatch.setenv("WELL", f"{well.url}/{CANARY}")
        monkeypatch.setenv("ILL", f"{ill.url}/{CANARY}")
        mail = f"{{to: a@b.c, host: 127.0.0.1, port: {port}, security: none}}"
        channels = ("notify.slack.url_env=WELL", f"notify.email={mail}", "notify.command=test -d /")
        code, lines = hpo("notify test", *channels)
        assert (code, lines[-3:]) == (0, ["slack: sent", "email: sent", "command: sent"])
        code, lines = hpo("notify test", *channels, "notify.webhook.url_env=ILL", "notify.command=test -f /")
        assert code == 1
        assert [line for line in lines if "not sent" in line] == [
            "webhook: not sent: it answered 404",
            "command: not sent: it ended with exit code 1",
        ]
        assert len(ill.received) == 1, "once"
    text = well.received[0]["text"]
    assert text.startswith("*own-script: test message*\n") and "failed, failures: 3, no_worker: 600s" in text
    assert mailbox.mails[0]["Subject"] == "own-script: test message"


def test_a_file_without_notifications_or_with_a_missing_variable(hpo, monkeypatch):
    code, lines = hpo("notify test")
    assert code == 2 and "notify is missing" in lines[-1]
    monkeypatch.delenv("SLACK_URL", raising=False)
    for command in ("notify test", "check"):
        code, lines = hpo(command, "notify.slack.url_env=SLACK_URL")
        assert code == 2 and "notify.slack.url_env: the environment has no variable SLACK_URL" in lines[-1]


def test_a_check_says_who_is_told_of_what(hpo, monkeypatch):
    monkeypatch.setenv("SLACK_URL", f"http://127.0.0.1:9/{CANARY}")
    code, lines = hpo(
        "check", "notify.slack.url_env=SLACK_URL", "notify.command=test -d /", "notify.events=[best, failed]"
    )
    assert code == 0
    assert "  notifications by slack, command, of best, failed; clearml-hpo notify test sends one" in lines
