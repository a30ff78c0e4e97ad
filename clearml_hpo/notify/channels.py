"""The ways that messages go. What they raise never has a secret: no URL, no answer of a server's, no environment."""

from __future__ import annotations

import json
import logging
import shutil
import smtplib
import ssl
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from html import escape
from typing import Protocol, TypeVar

import requests

from clearml_hpo.core.errors import ClearmlHpoError, Fault
from clearml_hpo.machine import settings
from clearml_hpo.machine.processes import end_session, identify
from clearml_hpo.notify.events import Message
from clearml_hpo.study_file.notify import EmailSpec, NotifySpec, fault_of_url

_TIMEOUT_S = 10.0
"""Longest wait for a connection to a receiver of messages, for each of its answers, and for a command."""

THREAD = "notify"
"""With what the names of the threads begin that send."""

_DOMAIN = "clearml-hpo.invalid"  # of the ids of mails: the name of this machine is nobody's business
_TRY_AGAIN = (408, 429)  # of the answers that refuse
_Spec = TypeVar("_Spec")

# urllib3 writes paths of URLs, which are secrets here, to its log for debugging.
logging.getLogger("urllib3.connectionpool").addFilter(lambda record: not str(record.threadName).startswith(THREAD))


class NotSentError(ClearmlHpoError):
    """A message did not go.

    Attributes:
        is_final: whether trying again is of no use.
    """

    def __init__(self, text: str, *, is_final: bool = False) -> None:
        super().__init__(text)
        self.is_final = is_final


class Channel(Protocol):
    """A way that messages go."""

    @property
    def name(self) -> str:
        """Its key in the study file."""

    def send(self, message: Message) -> None:
        """Sends it, within seconds. Raises NotSentError."""


@dataclass(frozen=True)
class Webhook:
    """Posts messages to a URL: as :attr:`Message.json`, or as ``body`` makes them."""

    name: str
    url: str = field(repr=False)
    body: Callable[[Message], str] = lambda message: message.json

    def send(self, message: Message) -> None:
        """See :class:`Channel`. A redirection is not followed: it would take the message to another place."""
        headers = {"Content-Type": "application/json", "User-Agent": settings.USER_AGENT}
        data = self.body(message).encode()
        try:
            with requests.post(
                self.url, data=data, headers=headers, timeout=_TIMEOUT_S, allow_redirects=False, stream=True
            ) as answer:
                status = answer.status_code
        except requests.Timeout:
            raise NotSentError(f"no answer within {_TIMEOUT_S:g} s") from None
        except requests.exceptions.SSLError:
            raise NotSentError("its TLS certificate is not accepted") from None
        except requests.RequestException as error:
            raise NotSentError(f"it cannot be reached ({type(error).__name__})") from None
        if not 200 <= status < 300:
            raise NotSentError(f"it answered {status}", is_final=status < 500 and status not in _TRY_AGAIN)


def _for_slack(message: Message) -> str:
    said = escape(message.lines, quote=False)
    return json.dumps({"text": f"*{escape(message.title, quote=False)}*\n{said}"})


@dataclass(frozen=True)
class Email:
    """Sends messages as mails of plain text; logs in if there is a password."""

    name: str
    spec: EmailSpec
    password: str = field(repr=False)

    def send(self, message: Message) -> None:
        """See :class:`Channel`."""
        try:
            with self._connected() as server:
                server.send_message(self._mail(message))
        except smtplib.SMTPAuthenticationError as error:
            raise NotSentError(f"the log-in was refused ({error.smtp_code})", is_final=True) from None
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused):
            raise NotSentError("the addresses were refused", is_final=True) from None
        except smtplib.SMTPNotSupportedError:
            raise NotSentError("the server has no STARTTLS, or no log-in", is_final=True) from None
        except smtplib.SMTPResponseException as error:
            raise NotSentError(f"the server answered {error.smtp_code}", is_final=error.smtp_code >= 500) from None
        except ssl.SSLError:
            raise NotSentError("its TLS certificate is not accepted") from None
        except (smtplib.SMTPException, OSError) as error:
            if TimeoutError in (type(error), type(error.__context__)):  # smtplib makes another error of one
                raise NotSentError(f"no answer within {_TIMEOUT_S:g} s") from None
            raise NotSentError(f"the server cannot be reached ({type(error).__name__})") from None

    def _connected(self) -> smtplib.SMTP:
        spec, context = self.spec, ssl.create_default_context()
        if spec.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(spec.host, spec.own_port, timeout=_TIMEOUT_S, context=context)
        else:
            server = smtplib.SMTP(spec.host, spec.own_port, timeout=_TIMEOUT_S)
        try:
            if spec.security == "starttls":
                server.starttls(context=context)
            if spec.user is not None:
                server.login(spec.user, self.password)
        except BaseException:
            server.close()
            raise
        return server

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = " ".join(message.title.split())
        mail["From"] = self.spec.sender or self.spec.to[0]
        mail["To"] = ", ".join(self.spec.to)
        mail["Date"] = formatdate(message.at)
        mail["Message-ID"] = make_msgid(domain=_DOMAIN)
        mail.set_content(f"{message.lines}\n")
        return mail


@dataclass(frozen=True)
class Command:
    """Runs a command with a message on its standard input, and the main facts in its environment."""

    name: str
    command: Sequence[str]

    def send(self, message: Message) -> None:
        """See :class:`Channel`. What the command prints is nobody's; it is killed when its time is up."""
        about = message.about
        facts = {"EVENT": message.event, "TITLE": message.title, "TEXT": message.text}
        facts |= {"STUDY": about.study, "STUDY_ID": about.study_id, "PROJECT": about.project, "URL": about.url}
        environ = settings.child_environ(**{f"CLEARML_HPO_{name}": text for name, text in facts.items()})
        try:
            process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environ,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise NotSentError(f"it cannot be started ({type(error).__name__})", is_final=True) from None
        leader = identify(process.pid)
        try:
            process.communicate(message.json.encode(), timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            end_session(leader, grace_s=0.0)
            process.wait()
            raise NotSentError(f"it had not ended after {_TIMEOUT_S:g} s", is_final=True) from None
        if process.returncode:
            raise NotSentError(f"it ended with exit code {process.returncode}", is_final=True)


def channels_of(spec: NotifySpec) -> list[Channel]:
    """The channels of a study file, with what the environment holds for them."""
    found: list[Channel] = []
    found += [
        Webhook(name, one.url or settings.secret(one.url_env or "")) for name, one in _named("webhook", spec.webhook)
    ]
    found += [Webhook(name, settings.secret(one.url_env), _for_slack) for name, one in _named("slack", spec.slack)]
    found += [Email(name, one, settings.secret(one.password_env or "")) for name, one in _named("email", spec.email)]
    found += [Command("command", spec.command)] if spec.command else []
    return found


def _named(kind: str, given: Sequence[_Spec]) -> Iterator[tuple[str, _Spec]]:
    """Channels of one kind by their keys in the study file: ``slack``, or of several ``slack.0``, ``slack.1``."""
    for index, one in enumerate(given):
        yield f"{kind}.{index}" if len(given) > 1 else kind, one


def faults_of_channels(spec: NotifySpec | None) -> list[Fault]:
    """Why channels of a study file cannot work in this environment."""
    return [*_faults(spec)] if spec is not None else []


def _faults(spec: NotifySpec) -> Iterator[Fault]:
    hint = "; set it, or leave notifications out: --set notify=null"
    for kind, key in (("webhook", "url_env"), ("slack", "url_env"), ("email", "password_env")):
        for name, one in _named(kind, getattr(spec, kind)):
            where = ("notify", *name.split("."), key)
            if (variable := getattr(one, key)) is None:
                continue
            if not settings.secret(variable):
                yield Fault(where, f"the environment has no variable {variable}{hint}")
            elif key == "url_env" and fault_of_url(settings.secret(variable)):
                yield Fault(where, f"the variable {variable} holds no http or https URL")
    if spec.command and shutil.which(spec.command[0]) is None:
        yield Fault(("notify", "command"), f"no such program: {spec.command[0]}")
