"""An endpoint: a name, the fields it takes, and the function that answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from clearml_hpo.server.auth import OWNER, Authority, Caller
from clearml_hpo.server.fields import Field, Fields
from clearml_hpo.server.store import Store

Data = dict[str, Any]


@dataclass(frozen=True)
class Text:
    """An answer that is a file of text, and not in ClearML's envelope."""

    body: str
    file_name: str


@dataclass(frozen=True)
class Call:
    """One request as an endpoint sees it.

    Attributes:
        store: what the server remembers.
        authority: who issues and checks tokens.
        data: the request's fields, checked.
        batch: the lines of a JSON-lines body.
        client: the address of the caller.
        caller: by which key pair and for which user.
        worker: the name by which the calling program reports; empty where it does not say.
    """

    store: Store
    authority: Authority
    data: Data
    batch: list[Any] = field(default_factory=list)
    client: str = ""
    caller: Caller = OWNER
    worker: str = ""

    @property
    def user(self) -> str:
        """The id of the calling user; empty where an endpoint needs no token and none was given."""
        return self.caller.user

    def get(self, name: str, default: Any = None) -> Any:
        """A field of the request, or ``default`` where it is missing or null."""
        value = self.data.get(name)
        return default if value is None else value


Handler = Callable[[Call], Data | Text]
_AHandler = TypeVar("_AHandler", bound=Handler)


@dataclass(frozen=True)
class Endpoint:
    """One action of a service.

    Attributes:
        name: ``service.action``.
        handler: what answers.
        version: the first version of the API that has this endpoint; calls at an older one get ClearML's 404.
        last: the last version that has it, where it was withdrawn; ``instead`` says what took its place.
        fields: what the request may hold.
        open: needs no token.
    """

    name: str
    handler: Handler
    version: str = "1.0"
    fields: Fields = field(default_factory=dict)
    open: bool = False
    last: str = ""
    instead: str = ""


class Service:
    """The endpoints of one ClearML service; its modules add to it with :meth:`endpoint`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.endpoints: list[Endpoint] = []

    def endpoint(self, action: str, version: str = "1.0", /, **fields: Field) -> Callable[[_AHandler], _AHandler]:
        """Makes a function the answer to ``<service>.<action>``."""

        def register(handler: _AHandler) -> _AHandler:
            self.endpoints.append(Endpoint(f"{self.name}.{action}", handler, version, fields))
            return handler

        return register

    def withdrawn_endpoint(
        self, action: str, last: str, instead: str, /, **fields: Field
    ) -> Callable[[Handler], Handler]:
        """The same for one that newer versions of the API lack."""

        def register(handler: Handler) -> Handler:
            name = f"{self.name}.{action}"
            self.endpoints.append(Endpoint(name, handler, fields=fields, last=last, instead=f"use {instead}"))
            return handler

        return register

    def open_endpoint(self, action: str, /, **fields: Field) -> Callable[[_AHandler], _AHandler]:
        """The same for one that needs no token."""

        def register(handler: _AHandler) -> _AHandler:
            self.endpoints.append(Endpoint(f"{self.name}.{action}", handler, fields=fields, open=True))
            return handler

        return register


def table(services: Iterable[Service]) -> dict[str, Endpoint]:
    """All endpoints by name."""
    return {endpoint.name: endpoint for service in services for endpoint in service.endpoints}
