"""The set-up that a client sends with each ask, and the study file that it stands for.

Two clients with the same set-up, in the same project of the gateway, work on one study.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clearml_hpo.core.errors import InputError
from clearml_hpo.core.values import DEFAULT_SECTION, Params, Value
from clearml_hpo.gateway.hopaas.samplers import read_pruner, read_sampler
from clearml_hpo.gateway.hopaas.suggestions import definition, is_suggestion, parse_suggestion
from clearml_hpo.search.space import Distribution

METRIC = "hopaas/loss"
"""The scalar that a client's losses become."""
CONFIG = "hopaas_config"
TRIAL = "hopaas_trial"

_CONFIG_KEYS = ("title", "direction", "sampler", "pruner")
_DIRECTIONS = ("minimize", "maximize")
_MOST_PARAMETERS = 100
_MOST_TRIALS = 100_000
_STOP_AFTER = 50  # failures in a row
_LONGEST_TITLE = 200
_LONGEST_NAME = 200
_LONGEST_CONSTANT = 1_000  # characters, in the study file; the client gets the whole value
_SUID_IN_NAME = 8


@dataclass(frozen=True)
class SetUp:
    """What a client asks with.

    Attributes:
        title: the client's name for the study.
        direction: ``minimize`` or ``maximize``.
        sampler, pruner: blocks of a study file.
        parameters: ranges by the client's name.
        constants: any JSON values by the client's name.
        tags: what the worker says of itself: the keys that begin with ``_``, without it.
        canonical: all but the tags as JSON that depends on nothing else.
    """

    title: str
    direction: str
    sampler: Mapping[str, Any]
    pruner: Mapping[str, Any]
    parameters: Mapping[str, Distribution]
    constants: Mapping[str, Any]
    tags: Mapping[str, Any]
    canonical: str

    def suid(self, project: str) -> str:
        """The id by which clients know the study: 43 characters of ``A-Za-z0-9_-``; of a project of the gateway."""
        digest = hashlib.sha256(f"[{json.dumps(project)},{self.canonical}]".encode()).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def study_file(self, project: str) -> dict[str, Any]:
        """The study file, as plain data, without the ClearML project; ``project`` is the id of the gateway's."""
        space: dict[str, Any] = {_full(name): definition(found) for name, found in self.parameters.items()}
        space |= {_full(name): _text(value) for name, value in self.constants.items()}
        if not self.parameters:  # a study file wants a range: one of a single value
            space[_full(CONFIG)] = {"type": "categorical", "choices": [self.title]}
        return {
            "study": f"{self.title}-{self.suid(project)[:_SUID_IN_NAME]}",
            "template": {"outside": True},
            "search_space": space,
            "objective": {"metric": METRIC, "direction": self.direction, "value": "last"},
            "sampler": dict(self.sampler),
            "pruner": dict(self.pruner),
            "duplicates": "rerun",  # a set-up without ranges has one point
            "budget": {"trials": _MOST_TRIALS},
            "execution": {"queue": "outside"},
            "failures": {"lost": 0, "stop_after": _STOP_AFTER},
        }

    def answer(self, params: Params) -> dict[str, Any]:
        """The client's own keys with their values; ``params`` are a trial's, by the study's full names."""
        drawn: dict[str, Value] = {name: params[_full(name)] for name in self.parameters}
        return {**self.constants, **drawn}


def read_set_up(given: Mapping[str, Any]) -> SetUp:
    """Checks a set-up.

    Raises:
        InputError: with what was found and what is allowed.
    """
    config = given.get(CONFIG)
    if not isinstance(config, dict):
        raise InputError(f"{CONFIG}: expected an object with {', '.join(_CONFIG_KEYS)}")
    if unknown := [key for key in config if key not in _CONFIG_KEYS]:
        raise InputError(f"{CONFIG}: no such key: {unknown[0]!r} (one of: {', '.join(_CONFIG_KEYS)})")
    direction = config.get("direction", _DIRECTIONS[0])
    if direction not in _DIRECTIONS:
        raise InputError(f"{CONFIG}.direction: found {str(direction)[:80]!r}; one of: {', '.join(_DIRECTIONS)}")
    own = {name: value for name, value in given.items() if name != CONFIG and not name.startswith("_")}
    for name in own:
        _check_name(name)
    parameters = {name: _range(name, value) for name, value in own.items() if is_suggestion(value)}
    if len(parameters) > _MOST_PARAMETERS:
        raise InputError(f"found {len(parameters)} ranges; at most {_MOST_PARAMETERS} are allowed")
    return SetUp(
        title=_title(config.get("title")),
        direction=direction,
        sampler=read_sampler(config.get("sampler")),
        pruner=read_pruner(config.get("pruner")),
        parameters=parameters,
        constants={name: value for name, value in own.items() if name not in parameters},
        tags={name[1:]: value for name, value in given.items() if name.startswith("_")},
        canonical=_canonical({CONFIG: config, **own}),
    )


def restore_set_up(canonical: str) -> SetUp:
    """The set-up that was kept as ``canonical``; it has no tags."""
    return read_set_up(json.loads(canonical))


def _canonical(given: Mapping[str, Any]) -> str:
    """JSON with sorted keys and no spaces; NaN and Infinity are Python's."""
    return json.dumps(given, sort_keys=True, separators=(",", ":"))


def _title(given: object) -> str:
    if not isinstance(given, str) or not given.strip() or len(given) > _LONGEST_TITLE or not given.isprintable():
        raise InputError(f"{CONFIG}.title: expected a text of 1 to {_LONGEST_TITLE} printable characters")
    return given.strip()


def _check_name(name: str) -> None:
    if name == TRIAL:
        raise InputError(f"{TRIAL}: the answer has this key; call the property otherwise")
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise InputError(f"{name[:80]!r}: a property's name has 1 to {_LONGEST_NAME} printable characters")


def _range(name: str, text: str) -> Distribution:
    try:
        return parse_suggestion(text)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _full(name: str) -> str:
    return f"{DEFAULT_SECTION}/{name}"


def _text(value: object) -> str:
    """A constant in the experiment table."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST_CONSTANT else f"{text[:_LONGEST_CONSTANT]}..."
