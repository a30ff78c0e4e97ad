"""The page of tokens: a user makes, rotates and revokes tokens there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from clearml_hpo.core.errors import InputError
from clearml_hpo.dashboard.access import NotAllowedError
from clearml_hpo.dashboard.site import Site
from clearml_hpo.gateway.auth import Kind, NewToken, Right, Rights, Tokens
from clearml_hpo.gateway.auth.tokens import DAY_S
from clearml_hpo.gateway.bodies import is_storable
from clearml_hpo.gateway.db import Database, studies
from clearml_hpo.gateway.db import tokens as rows
from clearml_hpo.gateway.db.accounts import Project, Role
from clearml_hpo.gateway.db.columns import now
from clearml_hpo.gateway.db.studies import StudyRow
from clearml_hpo.gateway.db.tokens import TokenRow
from clearml_hpo.gateway.pages.gate import SessionGate, Visit, address_of
from clearml_hpo.gateway.requests import Caller

OVERLAP_S = 86_400
"""How long a token that was rotated still counts."""
_KINDS: Mapping[str, Kind] = {"api": Kind.API, "hopaas": Kind.HOPAAS}
_PRESETS: Mapping[Role, str] = {Role.OWNER: "worker", Role.MEMBER: "worker", Role.VIEWER: "viewer"}
_DEFAULT = {"name": "", "project": "", "kind": "api", "study": "", "days": "30"}


@dataclass(frozen=True)
class _Listed:
    """A token in the list.

    Attributes:
        scopes: what it may do, in short.
        state: counts, expired or revoked.
        is_own: whether it is the visitor's: then it may be rotated.
    """

    row: TokenRow
    kind: str
    project: str
    scopes: str
    state: str
    is_own: bool


class TokenPages:
    """``/tokens``: a user's own tokens, and those of the projects that the user owns."""

    def __init__(self, site: Site, gate: SessionGate, database: Database, tokens: Tokens, caller: Caller) -> None:
        self._site = site
        self._gate = gate
        self._database = database
        self._tokens = tokens
        self._caller = caller

    def routes(self) -> list[Route]:
        """The page and its forms."""
        return [
            self._site.route("/tokens", lambda request: self._page(request)),
            self._site.form_route("/tokens", self._make),
            self._site.form_route("/tokens/{token}/rotate", self._rotate),
            self._site.form_route("/tokens/{token}/revoke", self._revoke),
        ]

    def _page(
        self,
        request: Request,
        made: NewToken | None = None,
        problem: str = "",
        form: Mapping[str, str] = _DEFAULT,
    ) -> Response:
        visit = self._gate.visit(request)
        address = address_of(self._caller, request)
        return self._site.page(
            request,
            "tokens.html",
            400 if problem else 200,
            tokens=self._listed(visit),
            projects=[project for project, _ in visit.projects.values()],
            studies=self._studies(visit),
            kinds=[*_KINDS],
            form={**_DEFAULT, **form},
            problem=problem,
            made=made.row if made else None,
            secret=made.text.reveal() if made else "",
            address=address,
            **dict(zip(("host", "port"), _host_and_port(address), strict=True)),
        )

    def _make(self, request: Request, form: Mapping[str, str]) -> Response:
        visit = self._gate.visit(request)
        try:
            project, role = visit.projects.get(form.get("project", ""), (None, None))
            if project is None or role is None:
                raise InputError("project: choose one that you have a role in")
            made = self._tokens.create(
                visit.session.user,
                project.id,
                kind=_kind(form),
                name=form.get("name", ""),
                rights=self._rights(visit, project, role, form.get("study", "")),
                lives_s=_days(form) * DAY_S,
            )
        except InputError as error:
            return self._page(request, problem=str(error), form=form)
        return self._page(request, made)

    def _rotate(self, request: Request, form: Mapping[str, str]) -> Response:
        visit = self._gate.visit(request)
        row = self._row(request, visit)
        if row.owner != visit.session.user:
            raise NotAllowedError("A token is rotated by its owner; others may revoke it.")
        return self._page(request, self._tokens.rotate(row.id, overlap_s=OVERLAP_S))

    def _revoke(self, request: Request, form: Mapping[str, str]) -> Response:
        visit = self._gate.visit(request)
        row = self._row(request, visit)
        self._tokens.revoke(row.id, by=visit.session.user, why="on the page of tokens")
        return RedirectResponse("/tokens", 303)

    def _row(self, request: Request, visit: Visit) -> TokenRow:
        """The token that a path names, if it is the visitor's, or of a project that the visitor owns."""
        name = request.path_params["token"]
        row = None
        if is_storable(name):
            with self._database.read() as connection:
                row = rows.find(connection, name)
        if row is None or not _is_visible(row, visit):
            raise InputError(f"there is no token {name!r:.40}")
        return row

    def _listed(self, visit: Visit) -> Sequence[_Listed]:
        with self._database.read() as connection:
            found = rows.listed(connection)
            moment = now(connection)
        names = {project.id: project.name for project, _ in visit.projects.values()}
        return [
            _Listed(
                row=row,
                kind=next(name for name, kind in _KINDS.items() if kind.value == row.kind),
                project=names.get(row.project, row.project),
                scopes=Rights.parse(row.scopes.split()).short,
                state="revoked" if row.revoked_at else "expired" if row.expires < moment else "counts",
                is_own=row.owner == visit.session.user,
            )
            for row in found
            if _is_visible(row, visit)
        ]

    def _studies(self, visit: Visit) -> Sequence[tuple[Project, StudyRow]]:
        with self._database.read() as connection:
            return [
                (project, row)
                for project, _ in visit.projects.values()
                for row in studies.of_project(connection, project.id)
            ]

    def _rights(self, visit: Visit, project: Project, role: Role, study: str) -> Rights:
        if not study:
            return Rights.parse([_PRESETS[role]])
        if (project.id, study) not in ((each.id, row.id) for each, row in self._studies(visit)):
            raise InputError("study: choose one of the token's project, or all of them")
        return Rights.parse([f"{_PRESETS[role]}!study={study}"])


def _is_visible(row: TokenRow, visit: Visit) -> bool:
    return row.owner == visit.session.user or visit.may(Right.ADMIN_PROJECT, row.project)


def _kind(form: Mapping[str, str]) -> Kind:
    if form.get("kind") not in _KINDS:
        raise InputError(f"kind: found {form.get('kind', '')!r:.40}; expected one of: {', '.join(_KINDS)}")
    return _KINDS[form["kind"]]


def _days(form: Mapping[str, str]) -> int:
    """Bounds are those of tokens, which depend on the kind."""
    days = form.get("days", "").strip()
    if not days.isascii() or not days.isdecimal() or len(days) > len("9999"):
        raise InputError(f"days: found {days!r:.40}; expected a whole number of days")
    return int(days)


def _host_and_port(address: str) -> tuple[str, str]:
    """As the file of the Hopaas client has them: with the scheme, and always with a port."""
    scheme, _, host = address.partition("://")
    name, mark, port = host.rpartition(":")
    if mark and port.isdecimal():
        return f"{scheme}://{name}", port
    return address, "443" if scheme == "https" else "80"
