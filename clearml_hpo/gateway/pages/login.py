"""Log-in by a link that works once, and log-out.

The link opens a page with a button; only its POST uses the link up, so no preview of a mail or chat program does.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from clearml_hpo.dashboard.site import Site
from clearml_hpo.gateway.auth.sessions import SESSION_S, Sessions
from clearml_hpo.gateway.pages.gate import cookie_name, session_of
from clearml_hpo.gateway.requests import Caller


def with_session(answer: Response, session: str, caller: Caller, request: Request) -> Response:
    """The answer with the cookie of a session that begins."""
    answer.set_cookie(
        cookie_name(caller, request),
        session,
        max_age=SESSION_S,
        path="/",
        secure=caller.is_https(request),
        httponly=True,
        samesite="lax",
    )
    return answer


def login_routes(
    anyone: Site, site: Site, sessions: Sessions, caller: Caller, providers: Mapping[str, str]
) -> list[Route]:
    """``/login`` for anyone, and ``/logout`` for who has a session; ``providers`` are titles by name."""

    def show(request: Request) -> Response:
        key = request.query_params.get("key", "")
        return anyone.page(request, "login.html", key=key, refused=False, providers=providers)

    def log_in(request: Request, form: Mapping[str, str]) -> Response:
        before = session_of(caller, request)
        begun = sessions.begin(form.get("key", ""), instead_of=before, address=caller.address(request))
        if begun is None:
            return anyone.page(request, "login.html", 403, key="", refused=True, providers=providers)
        return with_session(RedirectResponse("/studies", 303), begun, caller, request)

    def log_out(request: Request, form: Mapping[str, str]) -> Response:
        sessions.end(session_of(caller, request))
        answer = RedirectResponse("/login", 303)
        name = cookie_name(caller, request)
        answer.delete_cookie(name, path="/", secure=caller.is_https(request), httponly=True, samesite="lax")
        return answer

    return [
        anyone.route("/login", show),
        anyone.form_route("/login", log_in),
        site.form_route("/logout", log_out),
    ]
