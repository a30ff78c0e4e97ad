"""Who may come in: browsers with a session. They see the studies of the projects that their user has a role in."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from clearml_hpo.backend.study_records import StudyRecord
from clearml_hpo.dashboard.access import NO_VISITOR, NotAllowedError, check_origin
from clearml_hpo.gateway.auth import Right
from clearml_hpo.gateway.auth.scopes import OF_ROLE
from clearml_hpo.gateway.auth.sessions import Session, Sessions
from clearml_hpo.gateway.db import Database, accounts, studies
from clearml_hpo.gateway.db.accounts import Project, Role
from clearml_hpo.gateway.requests import Caller

_LINKS = {"tokens": "/tokens", "guide": "/guide"}
_HOW_TO = "Log in with the link that `clearml-hpo gateway login-link` prints."


@dataclass(frozen=True)
class Visit:
    """Who sends a request.

    Attributes:
        projects: those that the user has a role in, by id.
    """

    session: Session
    projects: Mapping[str, tuple[Project, Role]]

    def may(self, right: Right, project: str) -> bool:
        """True if the user's role in the project (id) has this right."""
        _, role = self.projects.get(project, (None, None))
        return role is not None and right in OF_ROLE[role]


class SessionGate:
    """Implements the dashboard's ``Gate``."""

    is_strict = True

    def __init__(self, sessions: Sessions, caller: Caller, database: Database) -> None:
        self._sessions = sessions
        self._caller = caller
        self._database = database

    def refuse(self, request: Request) -> Response | None:
        """See ``Gate``: a page leads to the log-in, a script hears of it; files of pages are for everybody."""
        if request.url.path.startswith("/static/"):
            return None
        check_transport(self._caller, request)
        check_origin(request)
        session = self._sessions.find(session_of(self._caller, request))
        if session is None:
            if request.method == "POST" or "application/json" in request.headers.get("accept", ""):
                raise NotAllowedError(_HOW_TO)
            return RedirectResponse("/login", 303)
        if request.method == "POST":
            form = getattr(request.state, "form", {})
            given = request.headers.get("x-form-token") or form.get("form_token", "")
            if not hmac.compare_digest(given.encode(), session.form_token.encode()):
                raise NotAllowedError("This page is of an earlier log-in. Reload it, and send the form again.")
        with self._database.read() as connection:
            request.state.visit = Visit(session, accounts.seen_projects(connection, session.user))
        return None

    def visible(self, request: Request, records: Sequence[StudyRecord]) -> Sequence[StudyRecord]:
        """See ``Gate``."""
        seen = self.visit(request).projects
        projects = self._projects_of(request, records)
        return [each for each in records if projects[each.study_id] in seen]

    def check_order(self, request: Request, study: StudyRecord) -> None:
        """See ``Gate``: owners of its project steer a study."""
        project = self._projects_of(request, [study])[study.study_id]
        if not self.visit(request).may(Right.ADMIN, project):
            raise NotAllowedError("Only owners of the project steer its studies.")

    def visitor(self, request: Request) -> Mapping[str, Any]:
        """See ``Gate``."""
        visit: Visit | None = getattr(request.state, "visit", None)
        if visit is None:
            return NO_VISITOR
        return {"links": _LINKS, "user": visit.session.name, "form_token": visit.session.form_token}

    def visit(self, request: Request) -> Visit:
        """Who sends a request that was let in."""
        found: Visit = request.state.visit
        return found

    def _projects_of(self, request: Request, records: Sequence[StudyRecord]) -> Mapping[str, str]:
        """The gateway's projects (ids) by study; empty if it is in none that the visitor sees.

        A study that the gateway hands out is of the project that it was made in, any other one of the project whose
        studies go to its ClearML project.
        """
        by_name = {project.clearml_project: project.id for project, _ in self.visit(request).projects.values()}
        with self._database.read() as connection:
            rows = studies.by_controllers(connection, [each.study_id for each in records])
        return {
            each.study_id: rows[each.study_id].project if each.study_id in rows else by_name.get(each.project, "")
            for each in records
        }


class LoginGate:
    """Implements the dashboard's ``Gate`` for the page that logs in: it is for everybody, and shows no study."""

    is_strict = True

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def refuse(self, request: Request) -> Response | None:
        """See ``Gate``."""
        check_transport(self._caller, request)
        check_origin(request)
        return None

    def visible(self, request: Request, records: Sequence[StudyRecord]) -> Sequence[StudyRecord]:
        """None of them."""
        return ()

    def check_order(self, request: Request, study: StudyRecord) -> None:
        """Refuses all."""
        raise NotAllowedError(_HOW_TO)

    def visitor(self, request: Request) -> Mapping[str, Any]:
        """See ``Gate``."""
        return NO_VISITOR


def cookie_name(caller: Caller, request: Request) -> str:
    """The name of the cookie: before TLS no browser takes a ``__Host-`` one."""
    return "__Host-gateway" if caller.is_https(request) else "gateway"


def session_of(caller: Caller, request: Request) -> str:
    """The id of the session that a browser sends; empty if it sends none."""
    return request.cookies.get(cookie_name(caller, request), "")


def check_transport(caller: Caller, request: Request) -> None:
    """Raises NotAllowedError: the request came over plain HTTP from another machine."""
    if caller.came_in_the_open(request):
        raise NotAllowedError("The pages are for https, or for a browser on the gateway's own machine.")


def address_of(caller: Caller, request: Request) -> str:
    """The gateway's address as the browser has it."""
    return f"{'https' if caller.is_https(request) else 'http'}://{request.headers.get('host', '')}"
