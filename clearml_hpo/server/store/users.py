"""Users: the one whom the server's own key stands for, and those who logged in by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from clearml_hpo.server import clock as time
from clearml_hpo.server import identity
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.store import documents
from clearml_hpo.server.store.database import Database
from clearml_hpo.server.store.documents import Collection, Document, Kind
from clearml_hpo.server.store.membership import Clause
from clearml_hpo.server.store.query import Page, select

USERS = Collection(
    "users",
    {
        "id": Kind.TEXT,
        "company": Kind.TEXT,
        "name": Kind.TEXT,
        "given_name": Kind.TEXT,
        "family_name": Kind.TEXT,
        "created": Kind.TIME,
        "created_in_version": Kind.TEXT,
    },
    shortest_name=1,
)


class Users:
    """The users of the store."""

    def __init__(self, db: Database, clock: time.Clock) -> None:
        self._db = db
        self._clock = clock
        with db.transaction():
            if documents.fetch(db, USERS, identity.USER_ID, ["id"]) is None:
                self._insert(identity.USER_ID, {"name": identity.USER_NAME})

    def create(self, fields: Mapping[str, Any]) -> str:
        """Makes a user; returns the id."""
        fields = USERS.named(fields)
        id_ = documents.new_id()
        given = {name: fields.get(name) for name in ("name", "given_name", "family_name")}
        with self._db.transaction():
            self._insert(id_, {**given, "created_in_version": identity.SERVER_VERSION})
        return id_

    def _insert(self, id_: str, fields: Mapping[str, Any]) -> None:
        document = {
            "id": id_,
            "company": identity.COMPANY_ID,
            "created": time.stored(self._clock()),
            **fields,
        }
        documents.insert(self._db, USERS, document)

    def require(self, id_: str) -> Document:
        """One user; refuses unknown ids."""
        user = documents.fetch(self._db, USERS, id_)
        if user is None:
            raise ApiRefusal(Refusal.INVALID_USER_ID, id=id_, company=identity.COMPANY_ID)
        return user

    def search(
        self, request: Mapping[str, Any], page: Page | None = None, active_in: Sequence[str] = ()
    ) -> list[Document]:
        """Users that match a ``users.get_all`` request, in order of creation; of those with tasks in some projects."""
        active = "users.id IN (SELECT user FROM tasks WHERE project IN (SELECT value FROM json_each(?)))"
        also = [Clause(active, [documents.to_json(list(active_in))])] if active_in else []
        return select(self._db, USERS, request, also=also, page=page)

    def preferences(self, id_: str) -> Document:
        """What a user has set in the web app; it is the app that gives it a meaning."""
        self.require(id_)
        row = self._db.row("SELECT preferences FROM users WHERE id = ?", (id_,))
        preferences: Document = json.loads(row[0]) if row else {}
        return preferences

    def set_preferences(self, id_: str, changes: Mapping[str, Any]) -> Document:
        """Sets preferences by their topmost names, leaves the others; returns all."""
        with self._db.transaction():
            preferences = {**self.preferences(id_), **changes}
            kept = documents.to_json(preferences)
            self._db.execute("UPDATE users SET preferences = ? WHERE id = ?", (kept, id_))
        return preferences
