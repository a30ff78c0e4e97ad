"""The few pieces of HTML that the pages are made of; all text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 .5rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .25rem .75rem .25rem 0;
border-bottom: 1px solid var(--line); vertical-align: top; } th { font-weight: 600; }
pre { background: var(--soft); padding: .75rem; overflow-x: auto; white-space: pre-wrap; }
nav { margin-bottom: 1.5rem; } .number { font-variant-numeric: tabular-nums; } .note { opacity: .75; }
"""


@dataclass(frozen=True)
class Link:
    """A link to another page of this server."""

    text: str
    path: str


def page(title: str, *parts: str) -> str:
    """A whole page."""
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        f'<nav><a href="/">ClearML-compatible server</a></nav><h1>{escape(title)}</h1>{"".join(parts)}</html>'
    )


def section(title: str, *parts: str) -> str:
    """A part of a page under a heading."""
    return f"<h2>{escape(title)}</h2>{''.join(parts)}"


def note(text: str) -> str:
    """A line of explanation."""
    return f'<p class="note">{escape(text)}</p>'


def console(text: str) -> str:
    """Text as a terminal showed it."""
    return f"<pre>{escape(text)}</pre>"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; an empty one is a note."""
    body = "".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in rows)
    if not body:
        return note("none")
    return f"<table><tr>{''.join(f'<th>{escape(name)}</th>' for name in head)}</tr>{body}</table>"


def pairs(values: Mapping[str, Any]) -> str:
    """Names and values, one pair per line."""
    return table(("", ""), values.items())


def _cell(value: Any) -> str:
    if isinstance(value, Link):
        return f'<a href="{escape(value.path, quote=True)}">{escape(value.text)}</a>'
    if isinstance(value, float):
        return f'<span class="number">{value:.6g}</span>'
    return escape("" if value is None else str(value))
