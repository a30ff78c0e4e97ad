"""The images that a task reported."""

from __future__ import annotations

from typing import Any

from clearml_hpo.server.pages import uploads
from clearml_hpo.server.pages.visit import Visit
from clearml_hpo.server.store.documents import Document
from clearml_hpo.server.store.events import IMAGE

_SIZE = 24
_AUDIO, _VIDEO = (".wav", ".mp3", ".ogg", ".flac"), (".mp4", ".webm", ".mov")


def fill(visit: Visit, task: Document) -> dict[str, Any]:
    """The last images of each metric and variant, a page of them at a time; or all iterations of one."""
    titles = visit.store.browse.titles(task["id"], IMAGE)
    page = visit.number("page", 0)
    wanted = visit.query.get("metric"), visit.query.get("variant")
    alone = [each for each in titles if (each["metric"], each["variant"]) == wanted]
    shown = alone if wanted[0] is not None else titles
    named = [
        (each, iteration) for each in shown for iteration in (each["iterations"] if alone else each["iterations"][:1])
    ]
    part = named[page * _SIZE : (page + 1) * _SIZE]
    return {
        "images": [_image(visit, task["id"], each, iteration) for each, iteration in part],
        "alone": bool(alone),
        "page": page,
        "pages": -(-len(named) // _SIZE),
        "total": len(named),
    }


def _image(visit: Visit, task: str, title: Document, iteration: int) -> Document:
    event = visit.store.browse.report(task, IMAGE, title["metric"], title["variant"], iteration) or {}
    uri = str(event.get("url") or "")
    source = uploads.here(visit, uri)
    name = uri.partition("?")[0].lower()
    kind = "audio" if name.endswith(_AUDIO) else "video" if name.endswith(_VIDEO) else "img"
    return {
        **title,
        "iteration": iteration,
        "source": source,
        "kind": kind,
        "uri": uri,
        "link": source or uploads.elsewhere(uri),
    }
