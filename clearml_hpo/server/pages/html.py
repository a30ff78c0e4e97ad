"""The few pieces of HTML that the pages are made of; all text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --line: #8883; --soft: #8881; --quiet: #808790; --link: #2867c8; --queued: #8a63d2;
--in_progress: #2b82d9; --completed: #2a9d57; --failed: #d64545; --stopped: #c98a17; --published: #14807d; }
@media (prefers-color-scheme: dark) { :root { --link: #7ab0ff; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 84rem; margin: 1.25rem auto 4rem; padding: 0 1.25rem; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
nav { color: var(--quiet); margin-bottom: 1.5rem; } nav a::after { content: "/"; color: var(--quiet); margin: 0 .5rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 2.25rem 0 .5rem; }
p { margin: .25rem 0; } .note { color: var(--quiet); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .35rem 1.25rem .35rem 0; }
tr > * { border-bottom: 1px solid var(--line); }
th { font-size: .8rem; font-weight: 500; color: var(--quiet); white-space: nowrap; }
td { overflow-wrap: anywhere; } tr:hover td { background: var(--soft); }
.narrow table { width: auto; } .nobr { white-space: nowrap; font-variant-numeric: tabular-nums; }
.status::before { content: ""; display: inline-block; width: .6em; height: .6em; border-radius: 50%; margin-right: .5em;
background: var(--status, var(--quiet)); }
.columns { display: flex; flex-wrap: wrap; gap: 0 3rem; } .columns > section { flex: 1 1 20rem; min-width: 0; }
pre { font: 13px/1.45 ui-monospace, monospace; background: var(--soft); border-radius: 6px; padding: .75rem 1rem;
max-height: 36rem; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
"""


_ONE_LINE = 36


@dataclass(frozen=True)
class Link:
    """A link to another page of this server, or to a part of it."""

    text: str
    path: str

    @property
    def html(self) -> str:
        """Short ones stay on one line."""
        whole = " class=nobr" if len(self.text) <= _ONE_LINE else ""
        return f'<a{whole} href="{escape(self.path, quote=True)}">{escape(self.text)}</a>'


@dataclass(frozen=True)
class Status:
    """The status of a task, with its colour."""

    name: str


@dataclass(frozen=True)
class Short:
    """Text that stays on one line, such as a time."""

    text: str


def page(title: str, *parts: str, above: Sequence[Link] = ()) -> str:
    """A whole page; ``above`` leads back to the index."""
    links = "".join(_cell(link) for link in above)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        f"<nav>{links}</nav><h1>{escape(title)}</h1>{''.join(parts)}</html>"
    )


def section(title: str, *parts: str, anchor: str = "") -> str:
    """A part of a page under a heading, to which a link may lead."""
    return f'<section id="{escape(anchor)}"><h2>{escape(title)}</h2>{"".join(parts)}</section>'


def columns(*sections: str) -> str:
    """Sections beside one another where there is room."""
    return f'<div class="columns">{"".join(sections)}</div>'


def note(text: str) -> str:
    """A line of explanation."""
    return f'<p class="note">{escape(text)}</p>'


def line(*cells: Any) -> str:
    """Facts in a row."""
    return f"<p>{' &ensp; '.join(_cell(cell) for cell in cells)}</p>"


def console(text: str) -> str:
    """Text as a terminal showed it."""
    return f"<pre>{escape(text)}</pre>" if text else note("nothing yet")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; an empty one is a note."""
    body = "".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in rows)
    if not body:
        return note("none yet")
    titles = f"<tr>{''.join(f'<th>{escape(name)}</th>' for name in head)}</tr>" if any(head) else ""
    return f'<div class="scroll"><table>{titles}{body}</table></div>'


def pairs(values: Mapping[str, Any]) -> str:
    """Names and values, one pair per line."""
    return f'<div class="narrow">{table(("", ""), ((Short(name), value) for name, value in values.items()))}</div>'


def _cell(value: Any) -> str:
    if isinstance(value, Link):
        return value.html
    if isinstance(value, Status):
        colour = f"--status: var(--{escape(value.name, quote=True)})"
        return f'<span class="status nobr" style="{colour}">{escape(value.name.replace("_", " "))}</span>'
    if isinstance(value, Short):
        return f'<span class="nobr">{escape(value.text)}</span>'
    if isinstance(value, float):
        return f'<span class="nobr">{value:.6g}</span>'
    return escape("" if value is None else str(value))
