"""What users order by hand of a recorded study: checked before it is left for a controller, or done at once."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.editing import set_properties
from clearml_hpo.backend.orders import Extend, How, Try, pending
from clearml_hpo.backend.template import template_by_id
from clearml_hpo.backend.trial_records import WISHED_RUN, run_name
from clearml_hpo.controller.first_points import full_point
from clearml_hpo.controller.opening import take_budgets
from clearml_hpo.controller.orders import ENDS, reason_of
from clearml_hpo.core.errors import InputError, nearest
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.core.values import Params, full_name, resolve_name
from clearml_hpo.executors.base import withdraw_at_last
from clearml_hpo.executors.queue import QueueExecutor
from clearml_hpo.search.narrowing import Limits, narrowed
from clearml_hpo.search.space import OpenSpace
from clearml_hpo.studies.steering import check_number
from clearml_hpo.study_file import StudyFile, parse_study, read_point

if TYPE_CHECKING:
    from clearml_hpo.studies.study import Study

_LIVE = tuple(state for state in TrialState if state.is_live)
_LIMITS: Mapping[str, Sequence[str]] = {
    "trials": ("trials",),
    "time": ("wall_s",),
    "compute_time": ("compute_s",),
    "gpu_time": ("gpu_s",),
    "iterations": ("iterations",),
    "no_improvement": ("stale_trials", "stale_s"),
}
"""The keys of ``budget:`` that may be raised, and the limits that each one sets."""
_MOST_DRAWS = 10_000


# --- points ----------------------------------------------------------------------------------------------------------


def point_to_try(api: Api, study: Study, given: Mapping[str, Any]) -> Try:
    """The order for a point that lacks what is the template's own.

    Raises:
        InputError: it is no point of the space, was tried or ordered already, or the budget leaves no trial for it.
    """
    file = study.file
    if not given:
        raise InputError(f"no parameter is given; there are: {', '.join(file.space.distributions)}")
    point, faults = read_point(given, file.space)
    if faults:
        raise InputError("\n".join(str(fault) if fault.key else fault.text for fault in faults))
    order = Try(dict(_completed(api, file, _plain(point))))
    _refuse_known(study, order.params)
    _refuse_without_budget(study)
    return order


def _plain(point: Mapping[str, Any]) -> Params:
    """The same, with Python's numbers in place of numpy's."""
    plain = {name: value.item() if hasattr(value, "item") else value for name, value in point.items()}
    for name, value in plain.items():
        if not isinstance(value, (str, int, float)):
            raise InputError(f"{name}: found {value!r}; a text, a number, true or false is allowed")
    return plain


def _completed(api: Api, file: StudyFile, point: Params) -> Params:
    """The point with the template's own values."""
    if isinstance(file.space, OpenSpace):
        return point
    model = file.space.model_of(point)
    template = template_by_id(api, str(file.spec.template.by_model[model].task))
    full = full_point(file, template, model, point)
    if file.space.contains(full):
        return full
    if not template.is_registered:
        raise InputError("the template's own values are not known before its first run: give all parameters, or wait")
    own = {name: value for name, value in full.items() if name not in point}
    raise InputError(f"{dict(point)}, with the template's own values {own}, is no point of the search space")


def _refuse_known(study: Study, params: Params) -> None:
    if study.file.spec.duplicates == "rerun":
        return
    for trial in study.trials:
        if trial.params == params:
            raise InputError(f"trial {trial.number} has this point already: it is {trial.state.value}")
    if any(order.params == params for order in _ordered_points(study)):
        raise InputError("this point was ordered already")


def _refuse_without_budget(study: Study) -> None:
    budget, trials = _as_ordered(study).budget, len(study.trials) + len(_ordered_points(study))
    is_full = budget.trials is not None and trials >= budget.trials
    reached = f"the budget of {budget.trials} trials is used up" if is_full else budget.reached(study.spent())
    if reached:
        more = f" --trials {trials + 1}" if is_full else ""
        raise InputError(f"{reached}; to extend it first: clearml-hpo study extend {study.study_id[:8]}{more}")


def _ordered_points(study: Study) -> list[Try]:
    """Orders of points that no trial tries yet."""
    known = study.made_by_order
    found = pending(study.record.properties).items()
    return [order for name, order in found if isinstance(order, Try) and name not in known]


def _as_ordered(study: Study) -> StudyFile:
    """The study file with the budgets that are ordered."""
    file = study.file
    if any(isinstance(order, Extend) for order in pending(study.record.properties).values()):
        file = parse_study(study.record.study_yaml, f"study {study.study_id}")
        take_budgets(file, study.record.properties)
    return file


# --- ends ------------------------------------------------------------------------------------------------------------


def chosen_to_end(trials: Iterable[Trial], numbers: Collection[int], how: How) -> tuple[Trial, ...]:
    """The trials of these numbers.

    Raises:
        InputError: there is no trial of some number, or it has ended; or another ``how``.
    """
    if how not in ENDS:
        raise InputError(f"how: found {how!r}; allowed: {', '.join(ENDS)}")
    if not numbers:
        raise InputError("no trial is given: give the numbers of those that are to end")
    by_number = {trial.number: trial for trial in trials}
    for number in numbers:
        check_number(number, by_number, _LIVE, "be ended")
    return tuple(by_number[number] for number in sorted({*numbers}))


def end_now(api: Api, trials: Collection[Trial], how: How) -> None:
    """Ends trials that no controller drives: those that wait leave their queues, those that run are stopped.

    First it is noted on their tasks: a controller that resumes the study must know why they have ended.
    """
    state, reason = ENDS[how].value, reason_of(how)
    waiting = [trial.task_id for trial in trials if trial.state is TrialState.QUEUED]
    for trial in trials:
        waits = trial.task_id in waiting
        more = {"reason": reason} if waits else {WISHED_RUN: run_name(trial.started_at)}
        set_properties(api, trial.task_id, {"state": state, **more})
    executor = QueueExecutor(api, {})
    running = {trial.task_id for trial in trials} - {*waiting} | withdraw_at_last(executor, waiting).keys()
    executor.abort(sorted(running), reason)


# --- ranges ----------------------------------------------------------------------------------------------------------


def limits_with(study: Study, name: str, limits: Limits) -> str:
    """The property that says within which limits parameters are proposed; without limits, ``name`` has its whole range.

    Raises:
        InputError: there is no such parameter, its limits are not within its range, or no point is left.
    """
    space = study.file.space
    full = resolve_name(name, space.distributions) or full_name(name)
    others = {known: each for known, each in study.narrowed.items() if known != full}
    after = {**others, full: _plain_limits(limits)} if limits else others
    try:
        left = narrowed(space, {full: {}, **after})
    except (ValueError, TypeError) as error:
        raise InputError(str(error)) from None
    draw = left.at_random(random.Random(0))
    points = (space.build(draw) for _ in range(_MOST_DRAWS))
    if not any(space.allows(point) and left.allows(point) for point in points):
        raise InputError(f"no point is left that keeps the constraints: {left}")
    return json.dumps(after)


def _plain_limits(limits: Limits) -> Limits:
    return {key: [*value] if key == "choices" else value for key, value in limits.items()}


# --- budgets ---------------------------------------------------------------------------------------------------------


def extension(study: Study, changes: Mapping[str, Any]) -> Extend:
    """The order for a larger budget: ``changes`` are keys of ``budget:`` with their new values.

    Raises:
        InputError: they are not sound, or make nothing larger.
    """
    if not changes:
        raise InputError(f"no budget is given; there are: {', '.join(_LIMITS)}")
    for key in changes:
        if key not in _LIMITS:
            raise InputError(
                f"budget.{key}: it cannot be extended{nearest(key, _LIMITS)}; allowed: {', '.join(_LIMITS)}"
            )
    before = _as_ordered(study).budget
    overrides = [f"budget.{key}={json.dumps(value)}" for key, value in changes.items()]
    try:
        after = parse_study(study.record.study_yaml, f"study {study.study_id}", overrides).budget
    except InputError as error:
        raise InputError(str(error).replace("--set ", "")) from None
    for key in changes:
        for limit in _LIMITS[key]:
            old, new = getattr(before, limit), getattr(after, limit)
            if new is not None and (old is None or new < old):
                is_now = "without limit" if old is None else f"{old:g} already"
                raise InputError(f"budget.{key}: found {new:g}; it is {is_now}, and can only grow")
    if all(getattr(before, limit) == getattr(after, limit) for key in changes for limit in _LIMITS[key]):
        raise InputError(f"the budget of study {study.name} is that already")
    return Extend(dict(changes))
