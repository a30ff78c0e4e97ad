"""What every ``*.get_all`` takes and answers."""

from __future__ import annotations

from collections.abc import Sequence

from clearml_hpo.server.endpoint import Data
from clearml_hpo.server.fields import BOOL, INT, ONE_OR_MORE, STR, STRINGS, Fields
from clearml_hpo.server.store.documents import Document, pick
from clearml_hpo.server.store.query import Page

LIST: Fields = {
    "name": STR,
    "id": ONE_OR_MORE,
    "only_fields": STRINGS,
    "order_by": ONE_OR_MORE,
    "page": INT,
    "page_size": INT,
    "size": INT,
    "scroll_id": STR,
    "refresh_scroll": BOOL,
    "search_text": STR,
    "search_hidden": BOOL,
}


def listed(name: str, found: Sequence[Document], page: Page, fields: Sequence[str] | None) -> Data:
    """Documents cut to the fields that were asked for, with the id of the next part of a scroll."""
    shown = [pick(document, fields) for document in found] if fields else list(found)
    answer: Data = {name: shown}
    if page.scroll:
        answer["scroll_id"] = page.next_scroll_id
    return answer
