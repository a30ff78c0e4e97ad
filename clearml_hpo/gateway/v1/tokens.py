"""Tokens and the audit over the native API: what the page of tokens and ``clearml-hpo gateway token`` do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request

from clearml_hpo.gateway.auth import Kind, NewToken, Principal, Right, Rights, Tokens
from clearml_hpo.gateway.db import idempotency
from clearml_hpo.gateway.db.idempotency import Kept, KeptMeanwhileError
from clearml_hpo.gateway.db.tokens import TokenRow
from clearml_hpo.gateway.hosting import Hosting
from clearml_hpo.gateway.service import ConflictError, ForbiddenError, NotFoundError
from clearml_hpo.gateway.threads import Threads
from clearml_hpo.gateway.v1 import bodies
from clearml_hpo.gateway.v1.access import Access, BoundedRoute, check_right
from clearml_hpo.gateway.v1.bodies import Key

_ID = re.compile(r"[A-Za-z0-9]{12}", re.ASCII)
_SELF = "self"
_Keep = Callable[[sa.Connection, TokenRow], None]


def token_routes(hosting: Hosting, tokens: Tokens, access: Access, threads: Threads) -> APIRouter:
    """All of them; they need ``tokens:self``, the audit ``project:admin``."""
    router = APIRouter(route_class=BoundedRoute)
    api = _Api(hosting, tokens)

    @router.post("/tokens", status_code=201, response_model=bodies.MadeToken)
    async def make_token(request: Request, body: bodies.NewToken, key: Key = "") -> Any:
        """Makes a token in the project of the one that asks; its text is in this answer alone."""
        who = await access.who(request, "token")
        return await threads.run("other", lambda: api.make(who, body, key))

    @router.get("/tokens", response_model=bodies.TokenPage)
    async def list_tokens(
        request: Request,
        after: Annotated[str, Query(max_length=12)] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
        of: bodies.Whose = "owner",
    ) -> Any:
        """Tokens of the owner of the one that asks, or of the whole project; the newest first, a page at a time."""
        who = await access.who(request)
        return await threads.run("other", lambda: api.listed(who, after, limit, of))

    @router.get("/tokens/{token}", response_model=bodies.Token)
    async def get_token(request: Request, token: str) -> Any:
        """A token; ``self`` is the one that asks, which needs no right."""
        who = await access.who(request)
        return await threads.run("other", lambda: api.shown(who, token))

    @router.delete("/tokens/{token}", response_model=bodies.Token)
    async def revoke_token(request: Request, token: str) -> Any:
        """Refuses a token within 5 s; again is no error."""
        who = await access.who(request)
        return await threads.run("other", lambda: api.revoke(who, token))

    @router.post("/tokens/{token}:rotate", status_code=201, response_model=bodies.MadeToken)
    async def rotate_token(request: Request, token: str, body: bodies.Rotate, key: Key = "") -> Any:
        """Makes a token in place of an own one, which counts for a while more; ``self`` is the one that asks."""
        who = await access.who(request, "token")
        return await threads.run("other", lambda: api.rotate(who, token, body, key))

    @router.get("/audit", response_model=bodies.AuditPage)
    async def read_audit(
        request: Request,
        before: Annotated[int | None, Query(ge=0, le=2**62)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    ) -> Any:
        """Who did what in the project, the newest first; administrators see log-ins and users, too."""
        who = await access.who(request)
        return await threads.run("other", lambda: api.audit(who, before, limit))

    return router


class _Api:
    """What the routes do, in threads."""

    def __init__(self, hosting: Hosting, tokens: Tokens) -> None:
        self._hosting = hosting
        self._tokens = tokens

    def make(self, who: Principal, body: bodies.NewToken, key: str) -> bodies.MadeToken:
        check_right(who, Right.OWN_TOKENS)
        rights = Rights.parse(body.scopes)
        for study in sorted({scope.study for scope in rights.scopes if scope.study}):
            self._hosting.row(who, study)
        made = self._once(
            who,
            f"token {key}" if key else "",
            body.model_dump_json(),
            lambda keep: self._tokens.create(
                who.owner,
                who.project,
                kind=Kind[body.kind.upper()],
                name=body.name,
                rights=rights,
                lives_s=body.valid_s,
                made_by=who,
                keep=keep,
            ),
        )
        return bodies.MadeToken(token=made.text.reveal(), **_shown(made.row))

    def listed(self, who: Principal, after: str, limit: int, of: bodies.Whose) -> bodies.TokenPage:
        check_right(who, Right.OWN_TOKENS)
        if of == "project":
            check_right(who, Right.ADMIN_PROJECT)
        begins = self._row(who, after) if after else None
        found = self._tokens.listed(who, of_project=of == "project", after=begins, limit=limit + 1)
        page = [bodies.Token(**_shown(row)) for row in found[:limit]]
        return bodies.TokenPage(tokens=page, next=page[-1].id if found[limit:] else None)

    def shown(self, who: Principal, token: str) -> bodies.Token:
        if token != _SELF:
            check_right(who, Right.OWN_TOKENS)
        return bodies.Token(**_shown(self._row(who, token)))

    def revoke(self, who: Principal, token: str) -> bodies.Token:
        check_right(who, Right.OWN_TOKENS)
        row = self._row(who, token)
        self._tokens.revoke(row.id, by=who.owner, why=f"by token {who.token}")
        return bodies.Token(**_shown(self._row(who, row.id)))

    def rotate(self, who: Principal, token: str, body: bodies.Rotate, key: str) -> bodies.MadeToken:
        check_right(who, Right.OWN_TOKENS)
        row = self._row(who, token)
        if row.owner != who.owner:
            raise ForbiddenError("a token is rotated by its owner; others may revoke it")
        made = self._once(
            who,
            f"rotate {key}" if key else "",
            f"{row.id} {body.model_dump_json()}",
            lambda keep: self._tokens.rotate(row.id, overlap_s=body.overlap_s, made_by=who, keep=keep),
        )
        return bodies.MadeToken(token=made.text.reveal(), **_shown(made.row))

    def audit(self, who: Principal, before: int | None, limit: int) -> bodies.AuditPage:
        check_right(who, Right.ADMIN_PROJECT)
        found = self._tokens.audited(who, before=before, limit=limit + 1)
        acts = [bodies.Act(**{name: getattr(act, name) for name in bodies.Act.model_fields}) for act in found[:limit]]
        return bodies.AuditPage(acts=acts, next=acts[-1].seq if found[limit:] else None)

    def _row(self, who: Principal, token: str) -> TokenRow:
        token = who.token if token == _SELF else token
        row = self._tokens.visible(who, token) if _ID.fullmatch(token) else None
        if row is None:
            raise NotFoundError("no such token")
        return row

    def _once(self, who: Principal, key: str, body: str, make: Callable[[_Keep], NewToken]) -> NewToken:
        """A token for each key: a second one cannot be answered, as no text of a token is kept."""
        if not key:
            return make(lambda connection, row: None)
        if made := self._tokens.made_with(who, key, body.encode()):
            raise ConflictError(_made_already(made))
        try:
            return make(
                lambda connection, row: idempotency.keep(connection, who.token, key, body.encode(), Kept(201, row.id))
            )
        except KeptMeanwhileError:
            made = self._tokens.made_with(who, key, body.encode())
            raise ConflictError(_made_already(made)) from None


def _made_already(token: str) -> str:
    return f"token {token} was made with this Idempotency-Key, and its text is shown once: revoke it, make another one"


def _shown(row: TokenRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": Kind(row.kind).name.lower(),
        "name": row.name,
        "owner": row.owner,
        "scopes": row.scopes.split(),
        "created": row.created,
        "expires": row.expires,
        "last_used": row.last_used,
        "last_from": row.last_from,
        "revoked_at": row.revoked_at,
        "rotated_from": row.rotated_from,
    }
