"""Hyperparameter optimisation for ClearML that runs the same study file on a laptop and on a fleet of GPU servers.

Public names are imported when they are first used, so that ``import clearml_hpo`` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clearml_hpo.clearml_optimizer.optimizer import StudyOptimizer
    from clearml_hpo.clearml_optimizer.strategy import OptunaStrategy
    from clearml_hpo.core.errors import ApiError, ClearmlHpoError, InputError
    from clearml_hpo.functions.optimize import optimize
    from clearml_hpo.functions.trial_runner import Trial
    from clearml_hpo.remote import RemoteStudy
    from clearml_hpo.studies.study import Study

_HOMES = {
    "ApiError": "clearml_hpo.core.errors",
    "ClearmlHpoError": "clearml_hpo.core.errors",
    "InputError": "clearml_hpo.core.errors",
    "OptunaStrategy": "clearml_hpo.clearml_optimizer.strategy",
    "RemoteStudy": "clearml_hpo.remote",
    "Study": "clearml_hpo.studies.study",
    "StudyOptimizer": "clearml_hpo.clearml_optimizer.optimizer",
    "Trial": "clearml_hpo.functions.trial_runner",
    "optimize": "clearml_hpo.functions.optimize",
}

__all__ = [
    "ApiError",
    "ClearmlHpoError",
    "InputError",
    "OptunaStrategy",
    "RemoteStudy",
    "Study",
    "StudyOptimizer",
    "Trial",
    "optimize",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
