"""Rights: what a token was made for, and what its owner may do in the project now. Both must allow a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from clearml_hpo.core.errors import InputError, nearest
from clearml_hpo.gateway.db.accounts import Role


class Right(str, Enum):
    """What a request needs."""

    READ = "studies:read"
    CREATE = "studies:create"
    ADMIN = "studies:admin"
    ASK = "trials:ask"
    REPORT = "trials:report"
    ADMIN_TRIALS = "trials:admin"
    OWN_TOKENS = "tokens:self"
    ADMIN_PROJECT = "project:admin"


_VIEWER = (Right.READ, Right.OWN_TOKENS)
_MEMBER = (*_VIEWER, Right.CREATE, Right.ASK, Right.REPORT)
OF_ROLE: Mapping[Role, frozenset[Right]] = {
    Role.VIEWER: frozenset(_VIEWER),
    Role.MEMBER: frozenset(_MEMBER),
    Role.OWNER: frozenset(Right),
}
"""What users may do by their role in a project."""

PRESETS: Mapping[str, tuple[Right, ...]] = {
    "worker": (Right.READ, Right.CREATE, Right.ASK, Right.REPORT),
    "viewer": (Right.READ,),
    "owner": tuple(Right),
}
"""Names for several rights."""

_STUDY = "!study="


@dataclass(frozen=True)
class Scope:
    """A right, in all studies of the project or in one."""

    right: Right
    study: str = ""

    def __str__(self) -> str:
        return f"{self.right.value}{_STUDY}{self.study}" if self.study else self.right.value

    def covers(self, other: Scope) -> bool:
        """True if who has this one has ``other``."""
        return self.right == other.right and self.study in ("", other.study)


@dataclass(frozen=True)
class Rights:
    """Some scopes."""

    scopes: frozenset[Scope]

    @classmethod
    def parse(cls, words: Iterable[str]) -> Rights:
        """Of ``trials:ask``, ``trials:ask!study=3f9c2a``, or the name of a preset. Raises InputError."""
        return cls(frozenset(scope for word in words for scope in _parse(word)))

    def __str__(self) -> str:
        return " ".join(sorted(map(str, self.scopes)))

    @property
    def short(self) -> str:
        """The name of a preset if they are just that; else all of them."""
        return next((name for name in PRESETS if Rights.parse([name]) == self), str(self))

    def allow(self, right: Right, study: str = "") -> bool:
        """True if the right is among them, for this study; without one, for the whole project."""
        return any(scope.covers(Scope(right, study)) for scope in self.scopes)

    def beyond(self, others: Rights) -> Rights:
        """Those of these that ``others`` have not."""
        return Rights(frozenset(each for each in self.scopes if not any(own.covers(each) for own in others.scopes)))

    def of_role(self, role: Role | None) -> Rights:
        """Those that a user of this role may use; none without a role."""
        allowed = OF_ROLE[role] if role else frozenset()
        return Rights(frozenset(scope for scope in self.scopes if scope.right in allowed))


def _parse(word: str) -> Iterable[Scope]:
    name, mark, study = word.partition(_STUDY)
    if mark and not study.isalnum():
        raise InputError(f"scope {word!r}: expected the id of a study after {_STUDY}")
    if name in PRESETS:
        return [Scope(right, study) for right in PRESETS[name]]
    names = [*PRESETS, *(right.value for right in Right)]
    if name not in names:
        raise InputError(f"no such scope: {name!r}{nearest(name, names)} (one of: {', '.join(names)})")
    return [Scope(Right(name), study)]
