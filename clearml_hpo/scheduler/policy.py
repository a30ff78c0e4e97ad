"""How much, how long, how many at once, where, and what to do about failures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from clearml_hpo.core.budget import Budget, TrialLimits
from clearml_hpo.core.trial import Trial
from clearml_hpo.scheduler.placement import Placement, Places, Room
from clearml_hpo.scheduler.retry_rules import Failures
from clearml_hpo.search.fidelity import Fidelity

FindRoom = Callable[[Placement, Mapping[str, int], Iterable[Trial], Collection[str]], Places]
"""Says where more trials can go: the arguments are those of ``Room``."""


@dataclass
class Policy:
    """What a study may do.

    Attributes:
        budget: may grow while the study is driven.
        rerun_duplicates: whether a point that was tried may be run again.
        fidelity: for how long trials train before they pause; None: each trains once.
        room: how much there is for more trials; a study among others has a share of it.
    """

    budget: Budget
    limits: TrialLimits = field(default_factory=TrialLimits)
    placement: Placement = field(default_factory=Placement)
    failures: Failures = field(default_factory=Failures)
    rerun_duplicates: bool = False
    room: FindRoom = Room
    fidelity: Fidelity | None = None
