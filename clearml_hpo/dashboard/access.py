"""Access to the dashboard: the user who started it, or a log-in by link; other web sites stay out.

On Linux the kernel tells whose a connection from this machine is. Elsewhere, and for everybody else, the link that the
command prints has a key in it, which becomes a cookie.
"""

from __future__ import annotations

import hmac
import secrets

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from clearml_hpo.core.errors import InputError
from clearml_hpo.server.pages.gate import is_foreign, is_own_order, is_own_user

_COOKIE = "clearml_hpo_dashboard"
_LIFE_S = 12 * 3600
"""Life of a log-in to the dashboard."""


class Access:
    """Decides which requests are answered.

    Attributes:
        key: what opens the dashboard; new with each start.
    """

    def __init__(self, key: str | None = None) -> None:
        self.key = key or secrets.token_urlsafe(24)

    def refuse(self, request: Request) -> Response | None:
        """None if the request may be answered; else what is sent in place of an answer.

        Raises:
            InputError: it may not be answered; the message is for users.
        """
        if is_foreign(request.scope):
            raise InputError("The dashboard answers only at an address of this machine, such as localhost.")
        given = request.query_params.get("key")
        if given is not None and self._opens(given):
            answer = RedirectResponse(str(request.url.remove_query_params("key").path) or "/", 303)
            answer.set_cookie(_COOKIE, self.key, max_age=_LIFE_S, httponly=True, samesite="strict")
            return answer
        if not self._opens(request.cookies.get(_COOKIE, "")) and not is_own_user(request.scope):
            raise InputError("Open the link that `clearml-hpo dashboard` has printed; it logs you in.")
        if request.method == "POST" and not is_own_order(request.scope):
            raise InputError("Only the dashboard's own pages may send changes.")
        return None

    def _opens(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.key.encode())
