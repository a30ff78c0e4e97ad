"""Access to the dashboard: who may come in, see which studies, and steer them; other web sites stay out.

The dashboard's own rule is :class:`Access`. On Linux the kernel tells whose a connection from this machine is.
Elsewhere, and for everybody else, the link that the command prints has a key in it, which becomes a cookie.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from clearml_hpo.backend.study_records import StudyRecord
from clearml_hpo.core.errors import InputError
from clearml_hpo.server.pages.gate import is_foreign, is_own_order, is_own_user

_COOKIE = "clearml_hpo_dashboard"
_LIFE_S = 12 * 3600
"""Life of a log-in to the dashboard."""
NO_VISITOR: Mapping[str, Any] = {"links": {}, "user": "", "form_token": ""}
"""What pages say of a visitor who has no name."""


class NotAllowedError(InputError):
    """The visitor may not do this; the message is for users."""


class Gate(Protocol):
    """Decides which requests are answered.

    Attributes:
        is_strict: studies are found by their whole id alone, and only among those that a visitor sees.
    """

    is_strict: bool

    def refuse(self, request: Request) -> Response | None:
        """None if the request may be answered; else what is sent in place of an answer. Raises NotAllowedError."""
        ...

    def visible(self, request: Request, studies: Sequence[StudyRecord]) -> Sequence[StudyRecord]:
        """Those of the studies that the visitor may see."""
        ...

    def check_order(self, request: Request, study: StudyRecord) -> None:
        """Raises NotAllowedError: the visitor may see this study, not steer it."""
        ...

    def visitor(self, request: Request) -> Mapping[str, Any]:
        """What the layout of pages says of the visitor: the keys of ``NO_VISITOR``."""
        ...


class Access:
    """Implements ``Gate`` for one user, who sees and steers all.

    Attributes:
        key: what opens the dashboard; new with each start.
    """

    is_strict = False

    def __init__(self, key: str | None = None) -> None:
        self.key = key or secrets.token_urlsafe(24)

    def refuse(self, request: Request) -> Response | None:
        """See ``Gate``."""
        if is_foreign(request.scope):
            raise NotAllowedError("The dashboard answers only at an address of this machine, such as localhost.")
        given = request.query_params.get("key")
        if given is not None and self._opens(given):
            answer = RedirectResponse(str(request.url.remove_query_params("key").path) or "/", 303)
            answer.set_cookie(_COOKIE, self.key, max_age=_LIFE_S, httponly=True, samesite="lax")
            return answer
        if not self._opens(request.cookies.get(_COOKIE, "")) and not is_own_user(request.scope):
            raise NotAllowedError("Open the link that `clearml-hpo dashboard` has printed; it logs you in.")
        check_origin(request)
        return None

    def visible(self, request: Request, studies: Sequence[StudyRecord]) -> Sequence[StudyRecord]:
        """All of them."""
        return studies

    def check_order(self, request: Request, study: StudyRecord) -> None:
        """Nothing is refused."""

    def visitor(self, request: Request) -> Mapping[str, Any]:
        """See ``Gate``."""
        return NO_VISITOR

    def _opens(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.key.encode())


def check_origin(request: Request) -> None:
    """Raises NotAllowedError: a form comes from a page of another site, or from no page at all."""
    if request.method == "POST" and not is_own_order(request.scope):
        raise NotAllowedError("Only the dashboard's own pages may send changes.")
