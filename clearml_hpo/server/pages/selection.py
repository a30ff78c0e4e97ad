"""What of a project's tasks a table shows, and how: all of it in the URL, so that a link shows the same to others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any
from urllib.parse import urlencode

from clearml_hpo.server.pages import cells
from clearml_hpo.server.pages.columns import NAME, Column, column
from clearml_hpo.server.pages.studies import trials_alone
from clearml_hpo.server.pages.visit import Mistake, Visit
from clearml_hpo.server.status_rules import STATUSES
from clearml_hpo.server.store.browse import mentions
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.membership import Clause

ARCHIVED = ("hidden", "shown", "only")
SIZES = (50, 100, 200, 500, 1000)
_SIZE = 100
_ORDER = "-updated"
_MOST_COLUMNS = 100


@dataclass(frozen=True)
class Selection:
    """Filters, columns, order and page of a table.

    Attributes:
        project: the project's id, or ``*`` for all.
        text: is part of a task's name, or its id.
        parameter: is part of a hyperparameter, written ``section/name=value``.
        status: the statuses to show; none: all.
        type: the types to show; none: all.
        tag: the tags of which a task must have all.
        archived: one of ``ARCHIVED``.
        below: with the tasks of the projects below.
        all: with the controllers and templates of studies, which only filters find else.
        columns: keys of the columns after the name; none: those that the table chooses.
        sort: a column's key, ``-`` before it for the greatest first.
        page: from 0.
        size: tasks on a page.
    """

    project: str
    text: str = ""
    parameter: str = ""
    status: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    archived: str = ARCHIVED[0]
    below: bool = False
    all: bool = False
    columns: tuple[str, ...] = ()
    sort: str = _ORDER
    page: int = 0
    size: int = field(default=_SIZE)

    @classmethod
    def of(cls, visit: Visit) -> Selection:
        """What the URL says."""
        query = visit.query
        status = tuple(query.getlist("status"))
        for each in status:
            if each not in STATUSES:
                raise Mistake(f"status={each!r:.60}: one of {', '.join(sorted(STATUSES))}")
        size = visit.number("size", _SIZE, least=1, most=SIZES[-1])
        found = cls(
            project=visit.names["project"],
            text=query.get("text", "").strip(),
            parameter=query.get("parameter", "").strip(),
            status=status,
            type=tuple(query.getlist("type")),
            tag=tuple(tag for tag in query.getlist("tag") if tag),
            archived=visit.choice("archived", ARCHIVED),
            below=query.get("below") == "1",
            all=query.get("all") == "1",
            columns=tuple(dict.fromkeys(query.getlist("columns")))[:_MOST_COLUMNS],
            sort=query.get("sort") or _ORDER,
            page=visit.number("page", 0),
            size=size,
        )
        found.order()
        return found

    def order(self) -> list[str]:
        """``order_by`` of the calls."""
        by = column(self.sort.removeprefix("-")).order
        return [f"-{by}" if self.sort.startswith("-") else by]

    def request(self) -> tuple[Document, list[Clause]]:
        """What is asked of the store: a ``tasks.get_all`` request, and what else must hold."""
        pattern = {"pattern": re.escape(self.text), "fields": ["name", "id"]} if self.text else None
        hidden = {"hidden": ["-archived"], "shown": None, "only": ["archived"]}[self.archived]
        asked: Document = {
            "project": None if self.project == "*" else [self.project],
            "include_subprojects": self.below,
            **({"_any_": pattern} if pattern else {}),
            "status": list(self.status),
            "type": list(self.type),
            "tags": ["__$all", *self.tag] if self.tag else None,
            "system_tags": hidden,
            "order_by": self.order(),
        }
        also = [mentions(self.parameter)] if self.parameter else []
        return asked, also if self.shows_all else [*also, trials_alone()]

    @property
    def shows_all(self) -> bool:
        """Whether controllers and templates are in the table."""
        return self.all or self.project == "*" or self.filters > 0

    def chosen(self) -> list[Column]:
        """The columns that the URL names."""
        return [column(key) for key in self.columns if key != NAME.key]

    def url(self, view: str = "", **changes: Any) -> str:
        """The address of the table, or of another view of it, with these changes; short where nothing was chosen."""
        pairs = replace(self, **changes).pairs()
        path = cells.path("projects", self.project, *([view] if view else []))
        return f"{path}?{urlencode(pairs)}" if pairs else path

    def pairs(self, without: Sequence[str] = ()) -> list[tuple[str, str]]:
        """Names and values as the URL has them."""
        found: list[tuple[str, str]] = []
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in ("project", *without) or value == each.default:
                continue
            values = value if isinstance(value, tuple) else (value,)
            found += [(each.name, "1" if item is True else str(item)) for item in values]
        return found

    def sorted_by(self, key: str) -> str:
        """The address of the table sorted by a column: the greatest last at first, then the other way round."""
        return self.url(sort=f"-{key}" if self.sort == key else key, page=0)

    @property
    def filters(self) -> int:
        """How many filters are set."""
        used = (self.text, self.parameter, self.status, self.type, self.tag, self.archived != ARCHIVED[0])
        return sum(bool(each) for each in used)
