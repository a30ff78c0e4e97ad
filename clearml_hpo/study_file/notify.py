"""The block ``notify``: who is told of what. It has no secrets, only names of the variables that hold them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from clearml_hpo.core.errors import nearest
from clearml_hpo.study_file.base import Strict, Whole, Words, list_of_names, seconds

_PARAMETERS: Mapping[str, float | None] = {
    "ended": None,
    "failed": None,
    "best": None,
    "failures": 3,
    "no_worker": 600.0,
}
"""The events; of those that have a number, that which counts if none is given."""
_ANY = "any of: ended, failed, best, failures: 3, no_worker: 10m"
_LONGEST_WORD = 15  # of a URL's path that is no secret if it has digits


def _events(given: object) -> dict[str, float]:
    """``[ended, failures: 3]`` → the number of each event, 0 for those that have none."""
    found: dict[str, float] = {}
    for each in given if isinstance(given, list) else [given]:
        pairs = each.items() if isinstance(each, dict) else [(each, None)]
        found.update({str(name): _number(str(name), number) for name, number in pairs})
    if not found:
        raise ValueError(f"give one or more; {_ANY}")
    return found


def _number(event: str, given: object) -> float:
    if event not in _PARAMETERS:
        raise ValueError(f"found {event!r}{nearest(event, _PARAMETERS)}; {_ANY}")
    default = _PARAMETERS[event]
    if given is None:
        return default or 0.0
    if default is None:
        raise ValueError(f"{event} has no number; found {given!r}")
    number = seconds(given) if event == "no_worker" else given
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number < float("inf"):
        raise ValueError(f"{event}: found {given!r}; expected more than 0")
    if event == "failures" and number != int(number):
        raise ValueError(f"failures: found {given!r}; expected a whole number")
    return float(number)


def _is_variable(given: object) -> str:
    """What is refused is not repeated: it may be the secret itself."""
    if not isinstance(given, str) or not re.fullmatch(r"[A-Z_][A-Z0-9_]*", given):
        raise ValueError(
            "expected the name of an environment variable, in capitals, such as SLACK_URL; "
            "the secret itself stands in that variable, never in the study file"
        )
    return given


def fault_of_url(url: object) -> str:
    """Why something is no URL to post to; it is not repeated, as it may hold a secret. Empty if it is one."""
    try:
        parts = urlsplit(str(url))
        is_url = (
            isinstance(url, str) and parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable()
        )
        parts.port  # noqa: B018 - raises ValueError
    except ValueError:
        is_url = False
    return "" if is_url else "expected an http or https URL"


def _has_no_secret(given: object) -> str:
    """A URL may stand in the file if nothing in it looks like a token; it is not repeated if something does."""
    if fault := fault_of_url(given):
        raise ValueError(fault)
    parts = urlsplit(str(given))
    words = re.findall(r"[\w-]+", parts.path)
    is_secret = any(len(word) > _LONGEST_WORD and re.search(r"\d", word) for word in words)
    if is_secret or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("it may hold a secret; put it in an environment variable, and name that: url_env: WEBHOOK_URL")
    return str(given)


def _is_address(address: str) -> str:
    if not re.fullmatch(r"[^\s@<>,;]+@[^\s@<>,;]+", address):
        raise ValueError(f"found {address!r}; expected an address such as me@example.org")
    return address


Variable: TypeAlias = Annotated[str, BeforeValidator(_is_variable)]
Address: TypeAlias = Annotated[str, AfterValidator(_is_address)]


class _ChannelSpec(Strict):
    """A channel; what is not a block is not repeated in the error, as it may be the secret itself."""

    EXAMPLE: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _is_a_block(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            raise ValueError(f"expected keys and values, such as {cls.EXAMPLE}")
        return given


class WebhookSpec(_ChannelSpec):
    """A URL to which events are posted as JSON: in a variable, or written out if it holds no secret."""

    EXAMPLE = "{url_env: WEBHOOK_URL}"

    url: Annotated[str, BeforeValidator(_has_no_secret)] | None = None
    url_env: Variable | None = None

    @model_validator(mode="after")
    def _one_url(self) -> WebhookSpec:
        if (self.url is None) == (self.url_env is None):
            raise ValueError("give url_env (the variable that holds the URL), or url if that holds no secret")
        return self


class SlackSpec(_ChannelSpec):
    """An incoming webhook of Slack's, or of what takes the same, such as Mattermost; its URL is a secret."""

    EXAMPLE = "{url_env: SLACK_URL}"

    url_env: Variable


class EmailSpec(_ChannelSpec):
    """Mail by an SMTP server."""

    EXAMPLE = "{to: me@example.org, host: smtp.example.org}"
    PORTS: ClassVar[Mapping[str, int]] = {"starttls": 587, "tls": 465, "none": 25}

    to: Annotated[list[Address], Field(min_length=1), BeforeValidator(list_of_names)]
    sender: Annotated[Address | None, Field(alias="from")] = None
    host: Annotated[str, Field(min_length=1)]
    port: Annotated[Whole, Field(ge=1, le=65535)] | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: Annotated[str, Field(min_length=1)] | None = None
    password_env: Variable | None = None

    @model_validator(mode="after")
    def _logs_in_safely(self) -> EmailSpec:
        if (self.user is None) != (self.password_env is None):
            raise ValueError("user and password_env go together: give both to log in, or neither")
        if self.password_env is not None and self.security == "none":
            raise ValueError("security: none would send the password in the clear; starttls or tls, or no log-in")
        return self

    @property
    def own_port(self) -> int:
        """The port, or the usual one of ``security``."""
        return self.port or self.PORTS[self.security]


def _blocks(given: object) -> object:
    """One block stands for a list of one."""
    return given if isinstance(given, list) else [given]


class NotifySpec(Strict):
    """Who is told, and of what."""

    events: Annotated[dict[str, float], BeforeValidator(_events)] = Field(
        default_factory=lambda: _events([event for event in _PARAMETERS if event != "best"])
    )
    webhook: Annotated[list[WebhookSpec], BeforeValidator(_blocks)] = Field(default_factory=list)
    slack: Annotated[list[SlackSpec], BeforeValidator(_blocks)] = Field(default_factory=list)
    email: Annotated[list[EmailSpec], BeforeValidator(_blocks)] = Field(default_factory=list)
    command: Words = Field(default_factory=list)

    @model_validator(mode="after")
    def _some_channel(self) -> NotifySpec:
        if not (self.webhook or self.slack or self.email or self.command):
            raise ValueError("give one or more of: webhook, slack, email, command")
        return self
