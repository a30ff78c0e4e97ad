"""Each channel against a real receiver on loopback, and what is said when it does not take the message."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import time

import pytest

from clearml_hpo.machine.background import is_running
from clearml_hpo.notify.channels import NotSentError, channels_of, faults_of_channels
from clearml_hpo.notify.sender import Outbox, try_channels
from clearml_hpo.study_file.notify import NotifySpec
from tests.receivers import HttpReceiver, eventually, smtp_receiver

from .conftest import CANARY

PATIENCE = "clearml_hpo.notify.channels._TIMEOUT_S"


def channel(**block):
    (found,) = channels_of(NotifySpec.model_validate(block))
    return found


def refused(channel, message):
    with pytest.raises(NotSentError) as caught:
        channel.send(message)
    assert CANARY not in str(caught.value) + repr(channel)
    return str(caught.value), caught.value.is_final


@pytest.fixture
def hooked(monkeypatch):
    """A channel whose URL is a secret."""

    def made(receiver, kind="webhook"):
        monkeypatch.setenv("HOOK_URL", f"{receiver.url}/services/{CANARY}?token={CANARY}")
        return channel(**{kind: {"url_env": "HOOK_URL"}})

    return made


# --- HTTP ------------------------------------------------------------------------------------------------------------


def test_a_webhook_gets_the_message_as_json(message):
    with HttpReceiver() as receiver:
        channel(webhook={"url": f"{receiver.url}/hook"}).send(message)
    assert receiver.received == [json.loads(message.json)]
    assert receiver.paths == ["/hook"] and receiver.headers[0]["Content-Type"] == "application/json"


def test_slack_gets_a_text_with_its_own_escapes(hooked, message):
    with HttpReceiver() as receiver:
        hooked(receiver, "slack").send(message)
    text = "*tune &amp; co: new &lt;best&gt; 0.5*\ntrial 7\nhttp://web/3f9c"
    assert receiver.received == [{"text": text}] and CANARY in receiver.paths[0]


@pytest.mark.parametrize(("status", "is_final"), [(500, False), (503, False), (429, False), (404, True), (302, True)])
def test_a_receiver_that_refuses(hooked, message, status, is_final):
    with HttpReceiver(status) as receiver:
        assert refused(hooked(receiver), message) == (f"it answered {status}", is_final)
    assert len(receiver.received) == 1, "a redirection is not followed"


def test_a_receiver_that_hangs(hooked, message, monkeypatch):
    monkeypatch.setattr(PATIENCE, 0.3)
    with HttpReceiver(0) as receiver:
        assert refused(hooked(receiver), message) == ("no answer within 0.3 s", False)


def test_a_receiver_that_is_not_there_or_speaks_no_tls(hooked, message, monkeypatch):
    with HttpReceiver() as receiver:
        monkeypatch.setenv("HOOK_URL", receiver.url.replace("http", "https") + f"/{CANARY}")
        assert refused(channel(webhook={"url_env": "HOOK_URL"}), message)[0] == "its TLS certificate is not accepted"
    assert refused(hooked(receiver), message) == ("it cannot be reached (ConnectionError)", False)


def test_debug_logs_of_the_library_do_not_have_the_url(hooked, message, caplog):
    caplog.set_level(logging.DEBUG)
    with HttpReceiver(500, 200) as receiver:
        assert list(try_channels([hooked(receiver)], message)) == [("webhook", "it answered 500")]
        outbox = Outbox(hooked(receiver))
        outbox.put(message)
        eventually(lambda: len(receiver.received) == 2)
        outbox.put(None)
        outbox.close(time.monotonic() + 10)
    assert CANARY not in caplog.text


# --- mail ------------------------------------------------------------------------------------------------------------


def email(port, **block):
    return channel(email={"to": ["a@example.org", "b@example.org"], "host": "127.0.0.1", "port": port, **block})


@pytest.fixture
def trusted(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))


@pytest.mark.filterwarnings("ignore:Requiring AUTH")  # aiosmtpd knows nothing of TLS from the start
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_with_a_log_in(certificate, trusted, message, monkeypatch, security):
    monkeypatch.setenv("SMTP_PASSWORD", CANARY)
    log_in = {"user": "me", "password_env": "SMTP_PASSWORD"}
    with smtp_receiver(certificate=certificate, login=("me", CANARY), security=security) as (port, mailbox):
        email(port, security=security, **log_in, **{"from": "hpo@example.org"}).send(message)
        (mail,) = mailbox.mails
        assert mail["Subject"] == "tune & co: new <best> 0.5" and mail["From"] == "hpo@example.org"
        assert mail["To"] == "a@example.org, b@example.org"
        assert mail.get_content() == "trial 7\nhttp://web/3f9c\n"
        assert mailbox.is_encrypted == [True] and mailbox.logins and CANARY not in str(mail)

        monkeypatch.setenv("SMTP_PASSWORD", f"not {CANARY}")
        assert refused(email(port, security=security, **log_in), message) == ("the log-in was refused (535)", True)


def test_mail_without_encryption_and_log_in(message):
    with smtp_receiver(security="none") as (port, mailbox):
        email(port, security="none").send(message)
        assert [mail["From"] for mail in mailbox.mails] == ["a@example.org"] and mailbox.is_encrypted == [False]
        assert refused(email(port), message) == ("the server has no STARTTLS, or no log-in", True)
    assert refused(email(port), message) == ("the server cannot be reached (ConnectionRefusedError)", False)


def test_a_name_in_other_letters_is_no_trouble_to_mail(message):
    from dataclasses import replace

    with smtp_receiver(security="none") as (port, mailbox):
        email(port, security="none").send(replace(message, title="größer\n: new best", text="Größe 7"))
    assert mailbox.mails[0]["Subject"] == "größer : new best" and "Größe 7" in mailbox.mails[0].get_content()


def test_a_server_whose_certificate_nobody_knows_gets_no_password(certificate, message, monkeypatch):
    monkeypatch.setenv("SMTP_PASSWORD", CANARY)
    with smtp_receiver(certificate=certificate, login=("me", CANARY)) as (port, mailbox):
        channel = email(port, user="me", password_env="SMTP_PASSWORD")
        assert refused(channel, message) == ("its TLS certificate is not accepted", False)
        assert not mailbox.logins


def test_a_mail_server_that_hangs(message, monkeypatch):
    monkeypatch.setattr(PATIENCE, 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert refused(email(silent.getsockname()[1]), message) == ("no answer within 0.3 s", False)


# --- a command -------------------------------------------------------------------------------------------------------


def test_a_command_gets_the_message_on_its_input_and_facts_in_its_environment(tmp_path, message):
    code = f"""
import json, os, pathlib, sys
facts = {{name: text for name, text in os.environ.items() if name.startswith("CLEARML_HPO_")}}
pathlib.Path({str(tmp_path / "got")!r}).write_text(json.dumps([json.load(sys.stdin), facts]))
"""
    channel(command=[sys.executable, "-c", code]).send(message)
    body, facts = json.loads((tmp_path / "got").read_text())
    assert body == json.loads(message.json)
    told = {"EVENT": "best", "TITLE": message.title, "TEXT": "trial 7", "STUDY": "tune & co", "STUDY_ID": "3f9c"}
    told |= {"PROJECT": "vision", "URL": "http://web/3f9c"}
    assert {f"CLEARML_HPO_{name}": text for name, text in told.items()}.items() <= facts.items()


def test_a_command_that_fails_or_ignores_its_input(message):
    assert refused(channel(command="false"), message) == ("it ended with exit code 1", True)
    assert refused(channel(command="/nonexistent"), message) == ("it cannot be started (FileNotFoundError)", True)
    channel(command="true").send(message)


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path, message, monkeypatch):
    monkeypatch.setattr(PATIENCE, 0.5)
    pid = tmp_path / "pid"
    hangs = channel(command=["sh", "-c", f"sleep 60 & echo $! > {pid}; wait"])
    assert refused(hangs, message) == ("it had not ended after 0.5 s", True)
    eventually(lambda: not is_running(int(pid.read_text())), "its child is gone")


# --- in the background -----------------------------------------------------------------------------------------------


def test_what_does_not_go_is_tried_again(hooked, message, monkeypatch):
    monkeypatch.setattr("clearml_hpo.notify.sender._WAITS_S", (0.01, 0.01))
    with HttpReceiver(500, 503, 200) as receiver:
        outbox = Outbox(hooked(receiver))
        outbox.put(message)
        eventually(lambda: len(receiver.received) == 3)
        outbox.put(None)
        outbox.close(time.monotonic() + 10)
    assert outbox.fault() == ""


def test_a_receiver_that_hangs_is_left_at_the_end_and_told_of_once(hooked, message):
    with HttpReceiver(0) as receiver:
        outbox = Outbox(hooked(receiver))
        began = time.monotonic()
        for _ in range(50):
            outbox.put(message)
        outbox.put(None)
        outbox.close(time.monotonic() + 0.2)
        assert time.monotonic() - began < 5, "it is not waited for"
        assert outbox.fault() == "notifications by webhook do not arrive: no answer in time"
        assert outbox.fault() == ""


def test_several_of_a_kind_are_told_apart(monkeypatch):
    spec = NotifySpec.model_validate({"slack": [{"url_env": "A"}, {"url_env": "B"}], "command": ["true"]})
    assert [channel.name for channel in channels_of(spec)] == ["slack.0", "slack.1", "command"]


# --- what the environment must have ----------------------------------------------------------------------------------


def test_variables_and_programs_that_are_missing_are_named(monkeypatch):
    for name in ("HOOK_URL", "OTHER_URL", "SMTP_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    blocks = {
        "webhook": [{"url_env": "HOOK_URL"}, {"url_env": "OTHER_URL"}, {"url": "http://a/b"}],
        "slack": {"url_env": "SLACK"},
        "email": {"to": "a@b", "host": "c", "user": "me", "password_env": "SMTP_PASSWORD"},
        "command": "no-such-program -x",
    }
    monkeypatch.setenv("SLACK", f"hooks.slack.com/{CANARY}")
    spec = NotifySpec.model_validate(blocks)
    hint = "; set it, or leave notifications out: --set notify=null"
    assert [str(fault) for fault in faults_of_channels(spec)] == [
        f"notify.webhook.0.url_env: the environment has no variable HOOK_URL{hint}",
        f"notify.webhook.1.url_env: the environment has no variable OTHER_URL{hint}",
        "notify.slack.url_env: the variable SLACK holds no http or https URL",
        f"notify.email.password_env: the environment has no variable SMTP_PASSWORD{hint}",
        "notify.command: no such program: no-such-program",
    ]
    assert faults_of_channels(None) == []
    assert "SLACK" in os.environ
