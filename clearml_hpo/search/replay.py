"""What Optuna's samplers and pruners write into a trial while it runs, for trials that ran in an earlier process.

Most learn from parameters and values alone. Successive halving and Hyperband note a trial's value at each rung that it
reached, and the genetic samplers the generation that it belongs to. Optuna offers no other way to these notes than its
own attributes; ``tests/unit/search/test_learner.py`` holds them against a study that really ran.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, SuccessiveHalvingPruner

from clearml_hpo.search.falling import FallingPruner

_WITHOUT_NOTES = (
    FallingPruner,
    optuna.pruners.MedianPruner,
    optuna.pruners.NopPruner,
    optuna.pruners.PercentilePruner,
    optuna.pruners.ThresholdPruner,
    optuna.pruners.WilcoxonPruner,
)


def keeps_notes(pruner: BasePruner) -> bool:
    """Whether the pruner judges by more than the values that were reported."""
    if isinstance(pruner, optuna.pruners.PatientPruner):
        wrapped = pruner._wrapped_pruner
        return wrapped is not None and keeps_notes(wrapped)
    return not isinstance(pruner, _WITHOUT_NOTES)


def rungs(
    pruner: BasePruner, study: optuna.Study, number: int, reported: Mapping[int, float], *, was_pruned: bool
) -> dict[str, float] | None:
    """The notes of successive halving and Hyperband for trial ``number`` of ``study``, which ``reported`` by step.

    None if they cannot be told without asking the pruner: it does not know its smallest resource yet, or is another.
    """
    halving = pruner
    if isinstance(pruner, HyperbandPruner):
        if not pruner._pruners:
            return None
        numbered = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING)
        numbered.number = number
        halving = pruner._pruners[pruner._get_bracket_id(study, numbered)]
    if not isinstance(halving, SuccessiveHalvingPruner) or halving._min_resource is None:
        return None
    notes: dict[str, float] = {}
    for step, value in sorted(reported.items()):
        # A trial goes from rung to rung at one step as long as it is promoted; one that is pruned there is not.
        ends_here = was_pruned and step == max(reported)
        exponent = halving._min_early_stopping_rate
        while step >= halving._min_resource * halving._reduction_factor ** (exponent + len(notes)):
            notes[f"completed_rung_{len(notes)}"] = value
            if ends_here:
                break
    return notes


def generation(sampler: optuna.samplers.BaseSampler, completed: int) -> Mapping[str, Any]:
    """The note of a genetic sampler for a trial after ``completed`` others; empty for other samplers."""
    if not isinstance(sampler, (optuna.samplers.NSGAIISampler, optuna.samplers.NSGAIIISampler)):
        return {}
    if hasattr(sampler, "_get_generation_key"):
        key = sampler._get_generation_key()
    else:  # older than its base class
        key = "nsga2:generation" if isinstance(sampler, optuna.samplers.NSGAIISampler) else "nsga3:generation"
    size = sampler._population_size
    assert size is not None
    return {key: completed // size}
