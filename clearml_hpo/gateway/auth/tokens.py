"""Tokens made, checked, rotated, revoked."""

from __future__ import annotations

import hashlib
import hmac
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from clearml_hpo.core.errors import InputError
from clearml_hpo.gateway.auth.pepper import Pepper
from clearml_hpo.gateway.auth.scopes import Right, Rights
from clearml_hpo.gateway.auth.token_text import Kind, TokenText, new, parse, without_secrets
from clearml_hpo.gateway.db import Database, accounts, audit, idempotency
from clearml_hpo.gateway.db import tokens as rows
from clearml_hpo.gateway.db.audit import Act
from clearml_hpo.gateway.db.columns import now
from clearml_hpo.gateway.db.tokens import TokenRow

DAY_S = 86_400
"""Shortest life of a token."""
YEAR_S = 365 * 86_400
"""Longest life of a token."""
DEFAULT_S = 30 * 86_400
"""Life of a token for which nothing else is asked."""
_MOST_HOPAAS_S = 90 * 86_400
"""Longest life of a Hopaas token, which stands in paths, if the operator does not allow more."""
_UNUSED_S = 90 * 86_400
"""A token that was not used for this long is refused."""
_CACHED_S = 4
"""How long a token that was checked is not looked up again; a revocation counts within 5 s."""
_NOTED_S = 60
"""Least time between two notes of when a token was used, or of why it was refused."""
GRACE_S = 86_400
"""A token that has expired may finish its own running trials for this long."""
_MOST_CACHED = 10_000
_LONGEST_NAME = 100
_NOT_LONGER = "valid_s: a token makes no other one that lives longer than itself, and none for less than a day"


class RefusedTokenError(Exception):
    """A token does not count; the message says why, and is for the audit, not for the client."""


@dataclass(frozen=True)
class Principal:
    """Whom a request is from.

    Attributes:
        token, owner, project: ids.
        rights: what it may do now.
        expires: seconds since 1970.
        is_expired: only its own running trials may be finished.
    """

    token: str
    kind: Kind
    owner: str
    project: str
    rights: Rights
    expires: float
    is_expired: bool = False


@dataclass(frozen=True)
class NewToken:
    """A token that was made just now: the one time that its text is known."""

    text: TokenText
    row: TokenRow


class Tokens:
    """The tokens of a gateway."""

    def __init__(
        self,
        database: Database,
        pepper: Pepper,
        *,
        most_hopaas_s: float = _MOST_HOPAAS_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``most_hopaas_s``: longest life of a Hopaas token, in seconds. ``clock``: seconds, for the cache."""
        self._database = database
        self._pepper = pepper
        self._most_s = {Kind.API: float(YEAR_S), Kind.HOPAAS: most_hopaas_s}
        self._clock = clock
        self._lock = threading.Lock()
        self._checked: dict[bytes, tuple[float, Principal]] = {}
        self._noted: dict[tuple[str, str], float] = {}

    def create(
        self,
        owner: str,
        project: str,
        *,
        kind: Kind,
        name: str,
        rights: Rights,
        lives_s: float | None = None,
        made_by: Principal | None = None,
        keep: Callable[[sa.Connection, TokenRow], None] = lambda connection, row: None,
    ) -> NewToken:
        """Makes a token.

        Args:
            owner, project: ids.
            name: for its owner, to know it again.
            lives_s: validity in seconds, one day to one year; default: 30 days, or as long as ``made_by``.
            made_by: the token that asks for this one; it can make none stronger or longer-lived than itself.
            keep: called in the transaction in which it is made.

        Raises:
            InputError: the name or the life is out of bounds, or ``made_by`` may not make it.
        """
        name = _sound_name(name)
        with self._database.write() as connection:
            if made_by is not None:
                left_s = made_by.expires - now(connection)
                _check_stronger(made_by, rights)
                if left_s < (DAY_S if lives_s is None else lives_s):
                    raise InputError(f"{_NOT_LONGER}; this one expires in {left_s / DAY_S:.1f} days")
                lives_s = min(DEFAULT_S, left_s) if lives_s is None else lives_s
            lives_s = DEFAULT_S if lives_s is None else lives_s
            self._check_life(kind, lives_s)
            made = self._add(connection, owner, project, kind, name, str(rights), lives_s, made_by=made_by)
            keep(connection, made.row)
        return made

    def check(self, text: str, kind: Kind, address: str = "", *, may_be_expired: bool = False) -> Principal:
        """Whom a request with this token is from.

        Args:
            kind: the class that is taken at this place: a token of a path is never one of a header.
            address: where the request came from.
            may_be_expired: the request only finishes a trial.

        Raises:
            RefusedTokenError: it does not count.
        """
        token = parse(text)
        if token is None:
            raise RefusedTokenError("it is no token, or not a whole one")
        if token.kind != kind:
            raise RefusedTokenError(f"a token of class {token.kind.value} is not taken here")
        principal = self._cached(token) or self._look_up(token, address)
        if principal.is_expired and not may_be_expired:
            raise self._refusal(token.id, "it has expired", address)
        if self._is_time(token.id, "used"):
            with self._database.write() as connection:
                rows.note_use(connection, token.id, address)
        return principal

    def known(self, text: str, kind: Kind) -> Principal | None:
        """Whom a request with this token is from, if that was checked within 4 s; asks no database.

        None if :meth:`check` is to say.
        """
        token = parse(text)
        found = self._cached(token) if token is not None and token.kind == kind else None
        return None if found is None or found.is_expired else found

    def visible(self, who: Principal, token: str) -> TokenRow | None:
        """The token of this id if it is of the project of ``who``, and its own, or ``who`` administers the project."""
        with self._database.read() as connection:
            row = rows.find(connection, token)
        if row is None or row.project != who.project:
            return None
        return row if row.owner == who.owner or who.rights.allow(Right.ADMIN_PROJECT) else None

    def listed(self, who: Principal, *, of_project: bool, after: TokenRow | None, limit: int) -> Sequence[TokenRow]:
        """A page of the tokens of ``who`` in its project, or of all of the project; the newest first."""
        owner = "" if of_project else who.owner
        with self._database.read() as connection:
            return rows.listed(connection, project=who.project, owner=owner, after=after, limit=limit)

    def audited(self, who: Principal, *, before: int | None, limit: int) -> Sequence[Act]:
        """Lines of the audit, the newest first: of the project of ``who``; for administrators also those of none."""
        with self._database.read() as connection:
            owner = accounts.user(connection, who.owner)
            of_none = [""] if owner is not None and owner.is_admin else []
            return audit.last(connection, limit, before, [who.project, *of_none])

    def made_with(self, who: Principal, key: str, body: bytes) -> str:
        """The id of the token that ``who`` has made with this idempotency key; empty if there is none.

        Raises:
            InputError: the key was used with another body.
        """
        with self._database.read() as connection:
            kept = idempotency.find(connection, who.token, key, body)
        return kept.answer if kept is not None else ""

    def revoke(self, token: str, *, by: str, why: str = "") -> bool:
        """Refuses the token of this id within 5 s, here at once; False if it was revoked, or there is none."""
        with self._database.write() as connection:
            done = rows.revoke(connection, token, by=by, why=why)
            if done:
                audit.note(connection, "token revoked", user=by, token=token, target=why)
        with self._lock:
            self._checked = {key: found for key, found in self._checked.items() if found[1].token != token}
        return done

    def rotate(
        self,
        token: str,
        *,
        overlap_s: float = 0.0,
        made_by: Principal | None = None,
        keep: Callable[[sa.Connection, TokenRow], None] = lambda connection, row: None,
    ) -> NewToken:
        """A new token like the one of this id, for as long as that one was made for.

        Args:
            overlap_s: the old one counts for so many seconds more.
            made_by: the token that asks for it: the new one lives no longer than that, and may do no more.
            keep: called in the transaction in which it is made.

        Raises:
            InputError: there is no such token, it does not count any more, or ``made_by`` may not have another of it.
        """
        with self._database.write() as connection:
            old = rows.find(connection, token)
            if old is None or old.revoked_at is not None or old.expires < now(connection):
                raise InputError(
                    f"token {token}: unknown, revoked or expired; `clearml-hpo gateway token list` shows all, "
                    "`token new` makes one"
                )
            lives_s = max(DAY_S, old.expires - old.created)
            if made_by is not None:
                lives_s = min(lives_s, made_by.expires - now(connection))
                if made_by.token != token:
                    _check_stronger(made_by, Rights.parse(old.scopes.split()))
            made = self._add(
                connection,
                old.owner,
                old.project,
                Kind(old.kind),
                old.name,
                old.scopes,
                lives_s,
                rotated_from=token,
                made_by=made_by,
            )
            rows.shorten(connection, token, overlap_s)
            keep(connection, made.row)
        return made

    def _check_life(self, kind: Kind, lives_s: float) -> None:
        most_s = self._most_s[kind]
        if not DAY_S <= lives_s <= most_s:
            raise InputError(
                f"a token of kind {kind.name.lower()} is valid for 1 to {most_s / DAY_S:g} days; "
                f"found {lives_s / DAY_S:g} days"
            )

    def _add(
        self,
        connection: sa.Connection,
        owner: str,
        project: str,
        kind: Kind,
        name: str,
        scopes: str,
        lives_s: float,
        rotated_from: str = "",
        made_by: Principal | None = None,
    ) -> NewToken:
        text = new(kind)
        moment = now(connection)
        row = TokenRow(
            id=text.id,
            kind=kind.value,
            hash=self._pepper.hash(text),
            owner=owner,
            project=project,
            name=name,
            scopes=scopes,
            created=moment,
            expires=min(moment + lives_s, made_by.expires if made_by is not None else math.inf),
            rotated_from=rotated_from,
        )
        rows.add(connection, row)
        what = "token rotated" if rotated_from else "token made"
        asked = f", by token {made_by.token}" if made_by is not None else ""
        audit.note(connection, what, user=owner, token=text.id, target=f"{rotated_from or scopes}{asked}")
        return NewToken(text, row)

    def _cached(self, token: TokenText) -> Principal | None:
        with self._lock:
            found = self._checked.get(_digest(token))
        return found[1] if found and self._clock() - found[0] < _CACHED_S else None

    def _look_up(self, token: TokenText, address: str) -> Principal:
        with self._database.read() as connection:
            row = rows.find(connection, token.id)
            if row is None or not hmac.compare_digest(row.hash, self._pepper.hash(token)):
                # Not under the id that it claims: whoever guesses must not fill the audit of another's token.
                raise RefusedTokenError("there is no such token" if row is None else "its secret is wrong")
            moment = now(connection)
            role = accounts.role(connection, row.project, row.owner)
        if reason := _fault(row, moment):
            raise self._refusal(token.id, reason, address)
        principal = Principal(
            token=row.id,
            kind=Kind(row.kind),
            owner=row.owner,
            project=row.project,
            rights=Rights.parse(row.scopes.split()).of_role(role),
            expires=row.expires,
            is_expired=row.expires < moment,
        )
        with self._lock:
            if len(self._checked) >= _MOST_CACHED:
                self._checked.clear()
            self._checked[_digest(token)] = (self._clock(), principal)
        return principal

    def _refusal(self, token: str, reason: str, address: str) -> RefusedTokenError:
        if self._is_time(token, reason):
            with self._database.write() as connection:
                audit.note(connection, "token refused", token=token, target=reason, address=address, ok=False)
        return RefusedTokenError(reason)

    def _is_time(self, token: str, what: str) -> bool:
        """True once a minute for each token and thing to note."""
        moment = self._clock()
        with self._lock:
            if len(self._noted) >= _MOST_CACHED:
                self._noted.clear()
            last = self._noted.get((token, what))
            if last is not None and moment - last < _NOTED_S:
                return False
            self._noted[token, what] = moment
        return True


def _sound_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise InputError(f"name: say in 1 to {_LONGEST_NAME} characters what the token is for")
    if without_secrets(name) != name:
        raise InputError("name: this is a token, which is shown nowhere; say what the new one is for")
    return name


def _check_stronger(made_by: Principal, rights: Rights) -> None:
    missing = rights.beyond(made_by.rights)
    if missing.scopes:
        raise InputError(f"scopes: a token makes no other one that may do more than itself; this one lacks {missing}")


def _digest(token: TokenText) -> bytes:
    """What the cache knows a token by: not itself."""
    return hashlib.sha256(token.signed.encode()).digest()


def _fault(row: TokenRow, moment: float) -> str:
    """Why a token does not count; empty if it does, also for what may still be finished."""
    if row.revoked_at is not None:
        return "it is revoked"
    if row.expires + GRACE_S < moment:
        return "it has expired"
    if max(row.created, row.last_used or 0.0) + _UNUSED_S < moment:
        return f"it was not used for {_UNUSED_S // DAY_S} days"
    return ""
