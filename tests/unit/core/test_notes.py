"""Notes keep their level and ids on their way to the user."""

from __future__ import annotations

from clearml_hpo.core.notes import Note, note_of


def test_a_note_of_one_of_several_studies() -> None:
    note = note_of("wine-forest", Note("trial 7 was lost", level="warning", trial=7))
    assert note == "wine-forest: trial 7 was lost"
    assert (note.level, note.ids) == ("warning", {"trial": 7, "study": "wine-forest"})
    plain = note_of("wine-forest", "the server answers again")
    assert (plain.level, plain.ids) == ("info", {"study": "wine-forest"})
