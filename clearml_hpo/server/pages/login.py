"""The log-in of users other than the server's own on this machine."""

from __future__ import annotations

import base64

from starlette.responses import RedirectResponse, Response

from clearml_hpo.server.errors import ApiRefusal
from clearml_hpo.server.pages import gate, render
from clearml_hpo.server.pages.visit import Visit

PATH = "/login"


def show(visit: Visit) -> Response:
    """Asks for a key pair."""
    return render.page("login.html", next=local(visit.query.get("next")), refused="")


def order(visit: Visit) -> Response:
    """Checks a key pair; the session is a cookie that scripts cannot read."""
    pair = f"{visit.form.get('access_key', '').strip()}:{visit.form.get('secret_key', '').strip()}"
    wanted = local(visit.form.get("next"))
    try:
        basic = base64.b64encode(pair.encode()).decode()
        token = visit.parts.authority.login(f"Basic {basic}", expiration_s=gate.SESSION_S)
    except ApiRefusal as refusal:
        return render.page("login.html", 403, next=wanted, refused=str(refusal))
    response = RedirectResponse(wanted, 303)
    response.set_cookie(
        gate.COOKIE, token, max_age=gate.SESSION_S, httponly=True, samesite="lax", secure=visit.is_encrypted
    )
    return response


def local(path: str | None) -> str:
    """``path`` if it leads to a page of this server, or the first page."""
    if not path or not path.startswith("/") or path.startswith("//") or "\\" in path or not path.isprintable():
        return "/"
    return path
