"""What a task wrote to its console."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from starlette.responses import Response, StreamingResponse

from clearml_hpo.server.pages import cells, render
from clearml_hpo.server.pages.visit import Mistake, Visit
from clearml_hpo.server.store.browse import Moment
from clearml_hpo.server.store.database import Row
from clearml_hpo.server.store.documents import Document

_SIZE, _PART, _TAIL = 200, 1000, 15
_MOMENT = re.compile(r"(\d{1,15})\.(\d{1,15})")
_BEGINNING: Moment = (-1, 0)


def fill(visit: Visit, task: Document) -> dict[str, Any]:
    """The end of the console."""
    before = _moment(visit, "before")
    return {**_window(visit.store.browse.console(task["id"], _SIZE + 1, before), before), "before": before}


def tail(visit: Visit, task: str) -> str:
    """The last few lines."""
    return "\n".join(_text(visit.store.browse.console(task, _TAIL)).splitlines()[-_TAIL:])


def more(visit: Visit) -> Response:
    """What came before, or after, what is shown."""
    task, after = visit.names["task"], _moment(visit, "after")
    visit.store.tasks.require(task, ["id"])
    if after is not None:
        rows = visit.store.browse.console_after(task, after, _PART)
        return render.data({"text": _text(rows), "last": _key(rows[-1:]) or visit.query["after"]})
    before = _moment(visit, "before")
    window = _window(visit.store.browse.console(task, _SIZE + 1, before), before)
    return render.data(window)


def text(visit: Visit) -> Response:
    """All of it as a file."""
    task = visit.names["task"]
    visit.store.tasks.require(task, ["id"])
    return StreamingResponse(_parts(visit, task), media_type="text/plain")


def _parts(visit: Visit, task: str) -> Iterator[str]:
    last: Moment = _BEGINNING
    while rows := visit.store.browse.console_after(task, last, _PART):
        yield _text(rows)
        last = (rows[-1]["timestamp"], rows[-1]["id"])


def _window(rows: Sequence[Row], before: Moment | None) -> dict[str, Any]:
    """Text of at most ``_SIZE`` events; whether there is more before it, and where what is shown begins and ends."""
    shown = rows[-_SIZE:]
    last = _key(shown[-1:]) or ("0.0" if before is None else "")
    return {"text": _text(shown), "first": _key(shown[:1]) if len(rows) > _SIZE else "", "last": last}


def _text(rows: Sequence[Row]) -> str:
    return "".join(f"{cells.plain(row['msg']).rstrip(chr(10))}\n" for row in rows)


def _key(rows: Sequence[Row]) -> str:
    return f"{rows[0]['timestamp']}.{rows[0]['id']}" if rows else ""


def _moment(visit: Visit, name: str) -> Moment | None:
    text = visit.query.get(name)
    if not text:
        return None
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise Mistake(f"{name}={text!r:.60}: a place in the console is <milliseconds>.<number>")
    return int(found[1]), int(found[2])
