"""The parameter or the scalar that a user means by a name that is not there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from clearml_hpo.core.values import DEFAULT_SECTION

_PARTS = re.compile(r"[^\w:]+|_")
_ONE_WORD = {"validation": "val", "valid": "val", "eval": "val", "dev": "val", "accuracy": "acc", "training": "train"}
"""Words that scripts use for the same thing."""
_OF_MACHINE = ":monitor:"


def near_parameter(given: str, known: Iterable[str]) -> str:
    """``; did you mean 'Args/lr'?`` for ``lr``, ``--lr`` or ``General/lr``; empty if no name is near.

    First other spellings of the same name; then the nearest last part, as sections are long and alike.
    """
    names = sorted(known)
    if found := other_spellings(given, names):
        return _meant(found)
    by_last_part = {_last(name): name for name in names}
    near = difflib.get_close_matches(_last(given), by_last_part, n=1)
    return _meant([by_last_part[near[0]]]) if near else ""


def other_spellings(given: str, known: Iterable[str]) -> list[str]:
    """Names that differ in the section alone, in dashes, or in how levels are joined; those that end so without any."""
    names, own = sorted(known), given.removeprefix(f"{DEFAULT_SECTION}/")
    same = [name for name in names if _plain(name) == _plain(given) or _plain(_bare(name)) == _plain(own)]
    return same or [name for name in names if _plain(name).endswith(f"/{_plain(own)}") or _last(name) == _last(given)]


def near_metric(given: str, known: Iterable[str]) -> str:
    """``; did you mean 'validation/loss'?`` for ``loss/val`` or ``valid/loss``; empty if no scalar is near."""
    names = sorted(name for name in known if not name.startswith(_OF_MACHINE))
    words, (_, _, series) = _words(given), given.rpartition("/")
    for found in (
        same_scalars(given, names),
        [name for name in names if name.rpartition("/")[2].lower() == series.lower()],
        difflib.get_close_matches(given, names, n=1),
        [name for name in names if words & _words(name)],
    ):
        if found:
            return _meant(found)
    return ""


def same_scalars(given: str, known: Iterable[str]) -> list[str]:
    """Scalars of the same words: ``validation/loss`` for ``loss/val`` or ``val_loss``."""
    return [name for name in sorted(known) if _words(given) == _words(name)]


def _meant(names: list[str]) -> str:
    return f"; did you mean {' or '.join(map(repr, names[:3]))}?"


def _plain(name: str) -> str:
    """Without leading dashes; dashes are underscores, dots are slashes, as sections and libraries differ in them."""
    return name.lstrip("-").replace("/--", "/").replace("-", "_").replace(".", "/").lower()


def _bare(name: str) -> str:
    """Without the section."""
    return name.partition("/")[2]


def _last(name: str) -> str:
    return _plain(name).rpartition("/")[2]


def _words(name: str) -> frozenset[str]:
    parts = (part.lower() for part in _PARTS.split(name) if part)
    return frozenset(_ONE_WORD.get(part, part) for part in parts)
