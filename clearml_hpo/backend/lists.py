"""Whole lists of the server, which gives 500 rows a call at most, whatever is asked for, and does not say so."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from clearml_hpo.backend.api import Api

MOST_ROWS = 500
"""That a server gives in one call; of ids, as many as one call may name if each is to be answered."""


def rows(
    api: Api, what: str, filters: Mapping[str, Any] | None = None, *, limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """All rows of ``<what>.get_all`` that match, or the first ``limit``, page by page.

    Args:
        what: ``tasks``, ``models``, ``projects`` or ``queues``.
        filters: of the request; without an order the rows of several pages come in that of their creation.
    """
    size = min(MOST_ROWS, limit or MOST_ROWS)
    # Without an order, pages could overlap.
    body = {"order_by": ["created"], **(filters or {})}
    left = limit
    for page in itertools.count():
        found = api.call(f"{what}.get_all", page=page, page_size=size, **body).get(what) or []
        yield from found[:left]
        left = None if left is None else left - len(found)
        if len(found) < size or (left is not None and left <= 0):
            return


def by_id(api: Api, what: str, ids: Iterable[str], fields: Sequence[str], **filters: Any) -> dict[str, dict[str, Any]]:
    """The rows of these ids, in one call for every 500; those that are not there are missing."""
    found = {}
    for chunk in chunks(list(dict.fromkeys(ids))):
        wanted = list(dict.fromkeys(["id", *fields]))
        answer = api.call(f"{what}.get_all", id=chunk, page=0, page_size=MOST_ROWS, only_fields=wanted, **filters)
        found.update({row["id"]: row for row in answer.get(what) or []})
    return found


def chunks(items: Sequence[str], size: int = MOST_ROWS) -> Iterator[list[str]]:
    """The items, so many at a time."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
