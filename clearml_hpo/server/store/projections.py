"""``only_fields`` of a request: which fields of the documents an answer shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.store.documents import Collection, Document, pick
from clearml_hpo.server.store.field_names import names_of_fields, no_such_field, unknown_part
from clearml_hpo.server.store.joins import REFERENCES, below, joined

_COMPANY = frozenset(("id", "name"))
# Legacy parameters are kept as a section of hyperparameters.
_KEPT_AS = {"execution.parameters": "hyperparams.Args"}
_ONLY_WHEN_ASKED = "unique_metrics"


@dataclass(frozen=True)
class Projection:
    """What is shown.

    Attributes:
        fields: dotted names; None: all fields.
        without: dotted names that are not shown.
        references: dotted names of what the documents refer to.
        whole: really all fields, with those that are shown only when they are asked for.
    """

    fields: Sequence[str] | None = None
    without: Sequence[str] = ()
    references: Sequence[str] = ()
    whole: bool = False

    def cut(self, document: Document) -> Document:
        """The part of a document that is shown."""
        shown = dict(document) if self.fields is None else pick(document, self.fields)
        if self.fields is None and not self.whole:
            shown.pop(_ONLY_WHEN_ASKED, None)
        for path in self.without:
            _drop(shown, path.split("."))
        return shown


def projection(collection: Collection, only_fields: Any, *, joins: bool = False) -> Projection:
    """Reads ``only_fields``; with ``joins`` they may name parts of what a document refers to.

    ``-x`` is all but x. With joins, ``*`` is all, and the answer always has the ids.
    """
    if not only_fields:
        return Projection()
    if isinstance(only_fields, str):  # ClearML reads it as the list of its characters
        only_fields = list(only_fields)
    names = [_KEPT_AS.get(name, name) for name in names_of_fields("only_fields", only_fields)]
    return _with_references(collection, names) if joins else _of_documents(collection, names)


def _of_documents(collection: Collection, names: Sequence[str]) -> Projection:
    asked, without = _split(names)
    _check(collection, [*asked, *without], joins=False)
    return Projection(asked or None, without, asked)


def _with_references(collection: Collection, names: Sequence[str]) -> Projection:
    asked, without = _split([name.removesuffix(".*") for name in names])
    without = [name for name in without if name != "id"]  # the id is always there
    _check(collection, [name for name in (*asked, *without) if name != "*"], joins=True)
    if "*" in asked:
        return Projection(without=without, references=asked, whole=True)
    return Projection((joined(collection, asked) or []) if asked else None, without, asked)


def _split(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names that are asked for, and those that are left out."""
    asked = [name for name in names if not name.startswith("-")]
    return asked, [name[1:] for name in names if name.startswith("-")]


def _check(collection: Collection, names: Sequence[str], *, joins: bool) -> None:
    lost = [(name, step) for name in names if (step := _unknown(collection, name, joins=joins)) is not None]
    tops = [name for name, step in lost if joins and step == name.partition(".")[0]]
    if tops:
        kind = collection.table.removesuffix("s").title()
        raise ApiRefusal(Refusal.FIELDS_NOT_DEFINED, fields=f"({', '.join(tops):.200})", object=kind)
    if lost:
        raise no_such_field(lost[0][1])


def _unknown(collection: Collection, path: str, *, joins: bool) -> str | None:
    """The first step of a name that leads nowhere, or None."""
    if joins:
        for name, other in REFERENCES.get(collection.table, {}).items():
            if wanted := below([path], name):
                return _unknown(other, wanted[0], joins=True)
        if (of_company := below([path], "company")) and of_company[0] in _COMPANY:
            return None
    return unknown_part(collection, path)


def _drop(document: Any, steps: Sequence[str]) -> None:
    if isinstance(document, list):
        for item in document:
            _drop(item, steps)
    elif isinstance(document, dict):
        if len(steps) == 1:
            document.pop(steps[0], None)
        else:
            _drop(document.get(steps[0]), steps[1:])
