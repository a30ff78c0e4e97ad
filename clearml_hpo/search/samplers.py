"""Samplers by name: what proposes the next point of the search space.

A name of the table is one of Optuna's, with defaults for several trials at once; ``package.module.Class`` is one's own
subclass of Optuna's ``BaseSampler``, with its keyword arguments as options. ``auto`` picks by space and budget.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from clearml_hpo.core.choices import (
    Choice,
    check_options,
    check_packages,
    choose,
    import_class,
    is_class_path,
    takes,
)
from clearml_hpo.core.errors import InputError
from clearml_hpo.core.goal import Goal
from clearml_hpo.search.fidelity import Fidelity
from clearml_hpo.search.gp_tpe import GpTpeSampler
from clearml_hpo.search.space import Categorical, Float, OpenSpace, SearchSpace

DEFAULT = "auto"

_chosen = partial(Choice, "sampler")

# The user attribute of an Optuna trial that holds by how much each constraint on a metric is broken.
VIOLATIONS = "constraints"

_NSGA_FEWEST_TRIALS = 1000  # a genetic algorithm needs generations; multi-objective TPE learns faster before

_POPULATION = 50  # Optuna's default
_FEWEST_GENERATIONS = 6

# From Optuna 5 on its GP sampler keeps away from what runs, and knows several objectives together with constraints.
_GP_KNOWS_RUNNING = int(optuna.__version__.split(".")[0]) >= 5


# Arguments of samplers that a study file does not set.
_OWNED = ("seed", "constraints_func", "space")


@dataclass(frozen=True)
class Problem:
    """What a sampler is to work on.

    Attributes:
        trials: the budget; None if only time limits the study.
        fidelity: for how long trials train; None: each trains once.
    """

    space: SearchSpace
    goal: Goal
    trials: int | None = None
    fidelity: Fidelity | None = None


@dataclass(frozen=True)
class _Kind:
    """A row of the table.

    Attributes:
        packages: what Optuna imports only at the first draw; the extra of setup.cfg has the name of the sampler.
        defaults: options that the problem, the seed and the given options lead to.
        refuses: why the sampler cannot work on a problem; None if it can.
    """

    sampler: Callable[..., BaseSampler]
    packages: tuple[str, ...] = ()
    defaults: Callable[[Problem, int | None, Mapping[str, Any]], dict[str, Any]] = lambda *_: {}
    refuses: Callable[[Problem], str | None] = lambda _: None


# --- Defaults ------------------------------------------------------------------------------------------------------


def _tpe_defaults(problem: Problem, seed: int | None, given: Mapping[str, Any]) -> dict[str, Any]:
    # Parameters are drawn together, so that their interplay counts. With several objectives one by one, as Optuna's own
    # default is from version 5 on, unless conditions call for groups of parameters that occur together.
    multivariate = given.get("multivariate", problem.goal.is_single or problem.space.is_conditional)
    return {
        "multivariate": multivariate,
        "group": bool(multivariate) and problem.space.is_conditional,
        "constant_liar": True,  # what runs counts as bad, which keeps parallel trials apart
    }


def _gp_tpe_defaults(problem: Problem, seed: int | None, given: Mapping[str, Any]) -> dict[str, Any]:
    # Without a limit on trials it is time that ends a study: what counts is what a second gains.
    return {"space": problem.space, "per_second": problem.trials is None}


def _gp_defaults(problem: Problem, seed: int | None, given: Mapping[str, Any]) -> dict[str, Any]:
    # Conditional parameters are not in Optuna's GP model: TPE draws them, and the first points, which are random.
    return {"independent_sampler": _independent_tpe(seed), **_unless_old("gp", warn_independent_sampling=False)}


def _cmaes_defaults(problem: Problem, seed: int | None, given: Mapping[str, Any]) -> dict[str, Any]:
    # CMA-ES has numbers only: TPE draws choices and conditional parameters, better than Optuna's random default.
    return {"independent_sampler": _independent_tpe(seed), "warn_independent_sampling": False}


def _independent_tpe(seed: int | None) -> BaseSampler:
    return optuna.samplers.TPESampler(seed=seed, multivariate=False, constant_liar=True)


def _qmc_defaults(problem: Problem, seed: int | None, given: Mapping[str, Any]) -> dict[str, Any]:
    # Scrambled, or the points would be the same with every seed and begin in a corner. One process draws all points,
    # so that nothing is to be said of seeds.
    return {"scramble": True, "warn_asynchronous_seeding": False, "warn_independent_sampling": False}


def _nsga_defaults(problem: Problem, seed: int | None, given: Mapping[str, Any]) -> dict[str, Any]:
    # The first generation is random; Optuna's 50 would be most of a small budget.
    if problem.trials is None:
        return {"population_size": _POPULATION}
    return {"population_size": max(4, min(_POPULATION, problem.trials // _FEWEST_GENERATIONS))}


def _unless_old(name: str, **options: Any) -> dict[str, Any]:
    """The options that the installed Optuna knows."""
    return {option: value for option, value in options.items() if takes(_KINDS[name].sampler, option)}


# --- What they cannot do -------------------------------------------------------------------------------------------


def _gp_refuses(problem: Problem) -> str | None:
    if not problem.goal.is_single and not _GP_KNOWS_RUNNING:
        return f"several objectives need Optuna 5 (found {optuna.__version__}); tpe and nsgaii take them"
    return None


_GROWS = "the script suggests its parameters itself, so they are not known before; tpe, random and nsgaii take that"


def _cmaes_refuses(problem: Problem) -> str | None:
    if isinstance(problem.space, OpenSpace):
        return _GROWS
    if not problem.goal.is_single:
        return "it takes one objective; tpe, gp and nsgaii take several"
    if problem.goal.constraints:
        return "it knows nothing of constraints; tpe, gp and nsgaii do"
    space = problem.space
    if all(isinstance(axis, Categorical) or name in space.conditions for name, axis in space.axes.items()):
        return "it needs a parameter that is a number and always active; tpe takes any space"
    return None


def _gp_tpe_refuses(problem: Problem) -> str | None:
    if isinstance(problem.space, OpenSpace):
        return _GROWS
    return None if problem.goal.is_single else "it takes one objective; tpe and nsgaii take several"


def _qmc_refuses(problem: Problem) -> str | None:
    space = problem.space
    if isinstance(space, OpenSpace):
        return _GROWS
    return f"{next(iter(space.conditions))} is conditional; random takes any space" if space.is_conditional else None


def _exhaustive_refuses(problem: Problem) -> str | None:
    if isinstance(problem.space, OpenSpace):
        return _GROWS
    # Optuna takes a float of one value for continuous, too.
    continuous = [name for name, axis in problem.space.axes.items() if isinstance(axis, Float) and axis.step is None]
    return f"{continuous[0]} is continuous; give it a step" if continuous else None


def _nsgaiii_refuses(problem: Problem) -> str | None:
    return "it is for several objectives; nsgaii takes one, too" if problem.goal.is_single else None


_KINDS: dict[str, _Kind] = {
    "tpe": _Kind(optuna.samplers.TPESampler, defaults=_tpe_defaults),
    "gp_tpe": _Kind(GpTpeSampler, (), _gp_tpe_defaults, _gp_tpe_refuses),
    "gp": _Kind(optuna.samplers.GPSampler, ("torch",), _gp_defaults, _gp_refuses),
    "cmaes": _Kind(optuna.samplers.CmaEsSampler, ("cmaes",), _cmaes_defaults, _cmaes_refuses),
    "qmc": _Kind(optuna.samplers.QMCSampler, (), _qmc_defaults, _qmc_refuses),
    "random": _Kind(optuna.samplers.RandomSampler),
    # Not Optuna's GridSampler, which goes over points again that a user enqueued or that a restart brought back.
    "grid": _Kind(optuna.samplers.BruteForceSampler, refuses=_exhaustive_refuses),
    "brute_force": _Kind(optuna.samplers.BruteForceSampler, refuses=_exhaustive_refuses),
    "nsgaii": _Kind(optuna.samplers.NSGAIISampler, defaults=_nsga_defaults),
    "nsgaiii": _Kind(optuna.samplers.NSGAIIISampler, defaults=_nsga_defaults, refuses=_nsgaiii_refuses),
}

NAMES = (DEFAULT, *_KINDS)
_CROSSING = ("nsgaii", "nsgaiii")  # parameters that all trials have


# --- From name to sampler ------------------------------------------------------------------------------------------


def is_known_name(name: str) -> bool:
    """Whether :func:`build_sampler` may know ``name``; a dotted path is looked up only there."""
    return name in NAMES or is_class_path(name)


def choose_sampler(
    name: str,
    *,
    space: SearchSpace,
    goal: Goal,
    trials: int | None = None,
    fidelity: Fidelity | None = None,
) -> Choice:
    """What ``name`` means here: ``auto`` picks a sampler, all other names stay.

    Args:
        trials: the budget, None if only time limits the study.

    Returns:
        The sampler's name and the reason; as text, a line for the log.
    """
    if name in _CROSSING and space.is_conditional:
        return _chosen(name, "as the study says, though it draws parameters with conditions at random; tpe does not")
    if name != DEFAULT:
        return _chosen(name, "as the study says")
    return _auto(Problem(space, goal, trials, fidelity))


def build_sampler(
    name: str = DEFAULT,
    *,
    seed: int | None = None,
    options: Mapping[str, Any] | None = None,
    space: SearchSpace,
    goal: Goal,
    trials: int | None = None,
    fidelity: Fidelity | None = None,
) -> BaseSampler:
    """Makes the sampler called ``name``: one of ``NAMES``, or ``package.module.Class``.

    Args:
        seed: makes the draws repeatable; 0 to 2**32 - 1.
        options: keyword arguments of the sampler's class, over the defaults for this study.
        trials: the budget, None if only time limits the study.

    Raises:
        InputError: no such sampler or option, it cannot work on this study, or a library that it needs is missing.
    """
    problem = Problem(space, goal, trials, fidelity)
    given = dict(options or {})
    name, kind = _find(name, problem, given)
    check_packages(f"sampler {name}", kind.packages, extra=name)
    check_options(kind.sampler, given, "sampler.options", owned=_OWNED)
    refusal = kind.refuses(problem)
    if refusal:
        raise InputError(f"sampler {name}: {refusal}")
    owned = {"seed": seed, **({"constraints_func": violations_of} if goal.constraints else {})}
    taken = {key: value for key, value in owned.items() if takes(kind.sampler, key)}
    try:
        with warnings.catch_warnings():
            # Experimental arguments, and constraints_func, which Optuna 5 calls old and Optuna 4 has alone.
            warnings.simplefilter("ignore")
            return kind.sampler(**{**kind.defaults(problem, seed, given), **given, **taken})
    except (ImportError, TypeError, ValueError) as error:
        raise InputError(f"sampler {name}: {error}") from error


def _find(name: str, problem: Problem, given: Mapping[str, Any]) -> tuple[str, _Kind]:
    """The sampler's name, which is never ``auto``, and its row of the table."""
    if is_class_path(name):
        return name, _Kind(import_class(name, BaseSampler, "sampler.name"))
    choose(name, NAMES, "sampler.name")
    if name == DEFAULT:
        name = _auto(problem).name
        if given:
            raise InputError(f"sampler.options: auto takes none; name the sampler that they are for ({name} here)")
    return name, _KINDS[name]


def violations_of(trial: FrozenTrial) -> Sequence[float]:
    """By how much a trial breaks each constraint, for Optuna's ``constraints_func``; 0 or less is kept.

    Empty for a pruned trial, of which nothing is known.
    """
    return tuple(trial.user_attrs.get(VIOLATIONS, ()))


def _auto(problem: Problem) -> Choice:
    space, trials = problem.space, problem.trials
    if trials is not None and space.size <= trials and not _exhaustive_refuses(problem):
        return _chosen("brute_force", f"all {space.size:.0f} points fit into {trials} trials")
    if problem.fidelity is not None:
        return _chosen("tpe", "it ranks paused trials by how far they came")
    if problem.goal.is_single:
        refusal = _gp_tpe_refuses(problem)
        return _chosen("tpe", refusal) if refusal else _chosen("gp_tpe", "one objective")
    if trials is not None and trials >= _NSGA_FEWEST_TRIALS and not space.is_conditional:
        return _chosen("nsgaii", f"several objectives and {trials} trials")
    return _chosen("tpe", "several objectives")
