"""What users order by hand: a point to try, trials to end, a larger budget.

Each order is one user property of the controller task. It stays until its effect is on record, so that it is obeyed
once, whoever drives the study and however that controller ends.
"""

from __future__ import annotations

import itertools
import json
import secrets
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.editing import set_properties
from clearml_hpo.backend.hyperparameters import USER_PROPERTIES
from clearml_hpo.core.values import Params

ORDER = "order"
"""User property of a trial task: the order for which it was made."""
_PREFIX = "order_"
NARROWED = "narrowed"
"""User property of a controller task: the limits within which parameters are proposed, as JSON by parameter."""

How: TypeAlias = Literal["prune", "abort"]
"""How a trial is ended by hand: ``prune`` counts as pruned for the sampler, ``abort`` is as aborted in ClearML."""


@dataclass(frozen=True)
class Try:
    """A point to be tried before anything that the sampler proposes; ``params`` are complete."""

    params: Params

    def __post_init__(self) -> None:
        _check(isinstance(self.params, dict) and all(isinstance(v, (str, int, float)) for v in self.params.values()))


@dataclass(frozen=True)
class End:
    """A trial to be ended; a later attempt of it, which has another task, is not meant."""

    number: int
    task_id: str
    how: How

    def __post_init__(self) -> None:
        _check(isinstance(self.number, int) and isinstance(self.task_id, str) and self.how in ("prune", "abort"))


@dataclass(frozen=True)
class Extend:
    """Keys of ``budget:`` with their new values."""

    budget: Mapping[str, Any]

    def __post_init__(self) -> None:
        _check(isinstance(self.budget, dict))


Order: TypeAlias = Try | End | Extend
_KINDS: Mapping[str, type[Order]] = {"try": Try, "end": End, "extend": Extend}


def plain(order: Order) -> dict[str, Any]:
    """An order as JSON has it: ``do`` says which kind it is."""
    return {"do": next(word for word, kind in _KINDS.items() if type(order) is kind), **asdict(order)}


def limits_of(properties: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The limits within which parameters are proposed; raises ValueError: a user has spoilt them."""
    said = json.loads(properties.get(NARROWED) or "{}")
    if not (isinstance(said, dict) and all(isinstance(limits, dict) for limits in said.values())):
        raise ValueError("expected limits by parameter")
    return said


def give(api: Api, task_id: str, orders: Iterable[Order]) -> None:
    """Leaves orders on a controller task, in one call."""
    now_ms = time.time_ns() // 1_000_000  # names sort as the orders were given
    names = (f"{_PREFIX}{now_ms + place:013d}_{secrets.token_hex(3)}" for place in itertools.count())
    set_properties(api, task_id, {name: json.dumps(plain(order)) for name, order in zip(names, orders, strict=False)})


def pending(properties: Mapping[str, str]) -> dict[str, Order | None]:
    """The orders among a controller task's properties by name, the oldest first; None for what cannot be read."""
    return {name: _read(text) for name, text in sorted(properties.items()) if name.startswith(_PREFIX) and text}


def drop(api: Api, task_id: str, names: Collection[str]) -> None:
    """Takes orders off a controller task, in one call."""
    items = [{"section": USER_PROPERTIES, "name": name} for name in names]
    api.call("tasks.delete_hyper_params", task=task_id, force=True, hyperparams=items)


def _check(is_sound: bool) -> None:
    if not is_sound:
        raise ValueError("no order")


def _read(text: str) -> Order | None:
    try:
        said = json.loads(text)
        return _KINDS[said.pop("do")](**said)
    except (ValueError, TypeError, KeyError, AttributeError):  # a user has edited it
        return None
