"""The points of a search space that are known to be good, as far as they are points of a study's own space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from clearml_hpo.core.values import MODEL, Params, full_name, name_in_model
from clearml_hpo.search.space import Constant, SearchSpace
from clearml_hpo.study_file.load import StudyFile, read_point
from clearml_hpo.study_file.space import POINTS


@dataclass(frozen=True)
class KnownPoints:
    """What a space's list of points gives to a study.

    Attributes:
        fitting: by full names; of several models the first point of each, then the second of each.
        others: why the other ones do not fit, a text for each.
    """

    fitting: tuple[Params, ...] = ()
    others: tuple[str, ...] = ()


def known_points(file: StudyFile) -> KnownPoints:
    """The points of the study's search space; none if the study wants none (``known_points: false``).

    A study may have changed the ranges of the file that it took the points from.
    """
    by_model: dict[str, list[Params]] = {}
    others: list[str] = []
    for given in file.spec.search_space.get(POINTS) or () if file.spec.known_points else ():
        point, faults = read_point(_without_constants(given, file.space), file.space)
        if faults:
            others.append(f"{_short(given)}: {faults[0]}")
        else:
            by_model.setdefault(file.space.model_of(point), []).append(point)
    in_turn = (point for turn in zip_longest(*by_model.values()) for point in turn if point is not None)
    return KnownPoints(tuple(in_turn), tuple(others))


def _without_constants(given: Mapping[str, Any], space: SearchSpace) -> dict[str, Any]:
    """A point without the values that all trials have anyway."""
    model = str(given.get(MODEL, space.constants.get(MODEL, "")))

    def is_given_anyway(name: str, value: Any) -> bool:
        kinds = (space.parameters.get(each) for each in (name_in_model(model, name), full_name(name)))
        return any(isinstance(kind, Constant) and kind.value == value for kind in kinds)

    return {name: value for name, value in given.items() if not is_given_anyway(name, value)}


def _short(given: Mapping[str, Any]) -> str:
    return " ".join(f"{name.rpartition('/')[2]}={value}" for name, value in given.items())
