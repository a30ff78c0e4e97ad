"""Studies whose scripts suggest their parameters themselves, as Optuna's objectives do (define-by-run)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.editing import read
from clearml_hpo.backend.hyperparameters import flatten
from clearml_hpo.core.errors import ApiError, is_trouble
from clearml_hpo.core.trial import Trial
from clearml_hpo.core.values import DEFAULT_SECTION, Params
from clearml_hpo.search.space import Categorical, Distribution, Int, OpenSpace
from clearml_hpo.study_file import StudyFile
from clearml_hpo.study_file.source_lines import SourceLine
from clearml_hpo.study_file.space import read_search_space


class Suggestions:
    """What trials have suggested: the parameters of each, and the space that has grown by them."""

    def __init__(self, api: Api, file: StudyFile, space: OpenSpace) -> None:
        """``space`` is that of ``file``, whose data grow with it."""
        self._api = api
        self._file = file
        self._space = space
        self.has_grown = bool(space.parameters)  # by first runs; what is on record already is written once more

    def params_of(self, trial: Trial) -> Params:
        """The parameters that a trial has suggested, in one call; the space knows them from now on.

        Raises:
            ApiError: the server is in trouble.
        """
        try:
            entries = read(self._api, trial.task_id, f"hyperparams.{DEFAULT_SECTION}").get("hyperparams") or {}
        except ApiError as error:
            if is_trouble(error):
                raise
            return trial.params  # it was deleted
        self.has_grown |= learn(self._file, entries)
        return self._space.parse(flatten(entries))


def learn(file: StudyFile, hyperparams: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> bool:
    """Has the space of a study know what a script has suggested in a run with these hyperparameters.

    Returns:
        Whether that is new; False also where the study file gives the space.
    """
    if not isinstance(file.space, OpenSpace):
        return False
    entries = hyperparams.get(DEFAULT_SECTION) or {}
    definitions = {f"{DEFAULT_SECTION}/{name}": _definition(entry) for name, entry in entries.items()}
    given = {name: definition for name, definition in definitions.items() if definition}
    found = read_search_space(given, (), {(): SourceLine("suggested")}, [], is_open=True)
    if not file.space.grow(found.parameters):
        return False
    grown = file.space.distributions
    file.data["search_space"].update({name: _as_given(grown[name]) for name in found.parameters})
    return True


def _as_given(distribution: Distribution) -> dict[str, Any]:
    """A range as a study file gives it."""
    if isinstance(distribution, Categorical):
        return {"type": "categorical", "choices": [*distribution.choices]}
    kind, step = ("int", 1) if isinstance(distribution, Int) else ("float", None)
    given = {"type": kind, "low": distribution.low, "high": distribution.high, "log": distribution.log}
    return given if distribution.step == step else {**given, "step": distribution.step}


def _definition(entry: Mapping[str, Any]) -> dict[str, Any]:
    """How a script has described what it suggested; empty for any other hyperparameter."""
    with suppress(ValueError, TypeError):
        said = json.loads(str(entry.get("description") or ""))
        if isinstance(said, dict) and "type" in said:
            return said
    return {}


def go_on_with_space(file: StudyFile, stored: StudyFile) -> None:
    """Has a study that goes on know what its trials have suggested before."""
    if isinstance(file.space, OpenSpace) and isinstance(stored.space, OpenSpace):
        file.space.grow(stored.space.parameters)
        file.data["search_space"].update(stored.data["search_space"])
