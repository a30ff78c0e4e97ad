"""Trials that ended elsewhere, as requests have them."""

from __future__ import annotations

import math

from clearml_hpo.backend.imported import Finished
from clearml_hpo.core.errors import InputError
from clearml_hpo.core.values import Params
from clearml_hpo.scheduler import Import
from clearml_hpo.search.space import Float
from clearml_hpo.study_file import StudyFile, read_point


def read_import(file: StudyFile, name: str, params: Params, finished: Finished, at: str) -> Import:
    """A trial that ended elsewhere, as one of a study; ``at`` is where it stands, for messages.

    Raises:
        InputError: it is no whole point of the space, a value is not finite, or an objective is missing.
    """
    space, goal = file.space, file.goal
    point, faults = read_point(params, space)
    if faults:
        where = [".".join((at, "params", *map(str, each.key))) for each in faults]
        raise InputError("\n".join(f"{key}: {each.text}" for key, each in zip(where, faults, strict=True)))
    floats = [name for name, each in space.distributions.items() if isinstance(each, Float) and name in point]
    point |= {name: float(str(point[name])) for name in floats}  # JSON has 1 for 1.0
    if not space.contains(point):
        names = ", ".join(space.distributions)
        raise InputError(f"{at}.params: found {', '.join(point) or 'none'}; a whole point is needed, of {names}")
    for metric, value in finished.values.items():
        if not math.isfinite(value):
            raise InputError(f"{at}.values.{metric}: found {value}; a finite number is allowed")
    missing = [each.metric for each in goal.objectives if each.metric not in finished.values]
    if finished.state == "completed" and missing:
        found = ", ".join(finished.values) or "none"
        raise InputError(f"{at}.values: found {found}; a completed trial needs {', '.join(missing)}")
    return Import(name, point, finished)
