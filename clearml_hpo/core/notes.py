"""Notes: what a running command tells its user, one line each, with a level and the ids that the line is about."""

from __future__ import annotations

from typing import Literal

Level = Literal["info", "warning", "error"]


class Note(str):
    """A line of text, which is all that a terminal prints of it.

    Attributes:
        level: "warning" if something was left out, retried or is late; "error" if the study cannot go on as asked.
        ids: what the line is about, such as ``{"trial": 7, "task": "0b65...", "queue": "gpu"}``.
    """

    __slots__ = ("ids", "level")

    level: Level
    ids: dict[str, str | int]

    def __new__(cls, text: str, level: Level = "info", **ids: str | int) -> Note:
        """A note on what ``ids`` name."""
        note = super().__new__(cls, text)
        note.level = level
        note.ids = ids
        return note


def note_of(study: str, text: str) -> Note:
    """The note of one of several studies: its text begins with the study's name."""
    note = as_note(text)
    return Note(f"{study}: {note}", note.level, **{**note.ids, "study": study})


def as_note(text: str) -> Note:
    """``text`` itself if it is a note; else a note of level "info"."""
    return text if isinstance(text, Note) else Note(text)
