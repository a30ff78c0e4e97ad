"""What every ``*.get_all`` takes and answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from clearml_hpo.server.endpoint import Call, Data
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.store.documents import Collection, Document
from clearml_hpo.server.store.expressions import check_order
from clearml_hpo.server.store.projections import Projection, projection
from clearml_hpo.server.store.query import PAGE_SIZE, Page

_LARGEST = 2**40
Search = Callable[[Projection, Page], list[Document]]


@dataclass(frozen=True)
class Part:
    """Which rows a request asks for: a page, or the next of a scroll.

    Attributes:
        page: the rows.
        scroll: the id of the scroll, if it is one.
        again: what was answered before is answered once more.
    """

    page: Page
    scroll: str | None = None
    again: bool = False


def listed(call: Call, collection: Collection, search: Search, *, joins: bool = False) -> Data:
    """The answer of a list: the documents that ``search`` finds, cut to the fields that were asked for.

    With ``joins``, what they refer to is filled in.
    """
    wanted = projection(collection, call.data.get("only_fields"), joins=joins)
    return answer(call, collection, wanted, search, joins=joins)


def answer(call: Call, collection: Collection, wanted: Projection, search: Search, *, joins: bool = False) -> Data:
    """The same with the fields ``wanted``."""
    check_order(collection, call.data.get("order_by"), call.data.get("search_text"))
    part = part_of(call)
    found = search(wanted, part.page)
    if joins:
        call.store.joins.fill(collection, found, wanted.references)
    shown: Data = {collection.table: [wanted.cut(document) for document in found]}
    if part.scroll is None:
        return shown
    if not part.again:
        call.store.scrolls.keep(part.scroll, part.page.offset + len(found))
    return {**shown, "scroll_id": part.scroll}


def part_of(call: Call) -> Part:
    """The rows that a request asks for: never more than 500, except by a scroll."""
    if "scroll_id" in call.data:
        return _scrolled(call)
    size = call.data.get("page_size")
    page = call.data.get("page", 0)  # a page_size asks for a page
    if page is not None and size is None and "page_size" in call.data:
        detail = "page_size is required when page is requested"
        raise ApiRefusal(Refusal.MISSING_FIELD, detail, field="page_size")
    rows = min(_whole("page_size", size, PAGE_SIZE, least=1), PAGE_SIZE)
    return Part(Page(min(_whole("page", page, 0, least=0) * rows, _LARGEST), rows))


def _scrolled(call: Call) -> Part:
    size, id_ = call.data.get("size"), call.data["scroll_id"]
    if not isinstance(size, int) or size < 1 or not isinstance(id_, (str, type(None))):
        detail = "Integer size parameter greater than 1 should be provided when working with scroll"
        raise ApiRefusal(Refusal.VALIDATION, detail)
    position = call.store.scrolls.find(id_)
    scroll = call.store.scrolls.add(0) if id_ is None or position is None else id_
    position = position or 0
    if position and call.data.get("refresh_scroll"):
        return Part(Page(0, position), scroll, again=True)
    return Part(Page(position, min(size, _LARGEST)), scroll)


def _whole(name: str, value: Any, default: int, *, least: int) -> int:
    if value is None:
        return default
    if not isinstance(value, int):
        raise ApiRefusal(Refusal.VALIDATION, f"{name} must be a whole number, not {value!r:.100}", field=name)
    if value < least:
        raise ApiRefusal(Refusal.VALIDATION, f"{name} must be {'>=0' if least == 0 else '>0'}", field=name)
    return value


def with_id(call: Call) -> None:
    """Refuses a request that does not say which ones."""
    if "id" not in call.data:
        raise ApiRefusal(Refusal.MISSING_FIELD, missing="(id)")


def projects_of(call: Call) -> list[str]:
    """The projects that a request names; null among them is no project."""
    given: Sequence[Any] = call.get("projects") or []
    for item in given:
        if item is not None and not isinstance(item, str):
            detail = "error for field 'projects': cannot decide which type to choose from \"str, nonetype\"."
            raise ApiRefusal(Refusal.VALIDATION, detail)
    return [item or "" for item in given]
