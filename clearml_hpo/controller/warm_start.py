"""What is known before the first trial: of earlier studies, of any tasks, of Optuna storages."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.hyperparameters import user_properties
from clearml_hpo.backend.lists import by_id
from clearml_hpo.backend.nan_values import ReplacedValues
from clearml_hpo.backend.study_records import StudyRecord, find_studies, read_study
from clearml_hpo.backend.trial_records import holds_parameters, marked_state, params_of, read_trials, values_of
from clearml_hpo.backend.trial_tasks import COMPLETED, metric_fields, snapshot_of
from clearml_hpo.controller.repeats import ENOUGH, EarlierValues
from clearml_hpo.core.errors import InputError
from clearml_hpo.core.trial import Trial, TrialState, best_trial
from clearml_hpo.core.values import Params
from clearml_hpo.search.mirror import Known, known_of
from clearml_hpo.study_file import StudyFile, parse_study
from clearml_hpo.study_file.models import WarmStartSpec

_MOST_STUDIES = 30  # of the project are looked at


def known_before(file: StudyFile, api: Api, on_note: Callable[[str], None]) -> list[Known]:
    """All that ``warm_start`` names and this study can use: points of its space with finite values of its objectives.

    Raises:
        InputError: a source does not exist.
    """
    found: list[Known] = []
    for source in file.spec.warm_start:
        if source.auto is not None or source.if_repeated:
            continue
        known = list(_known_of(source, file, api))
        on_note(f"warm start: {_told(len(known), source)}")
        found += known
    return found


def _told(known: int, source: WarmStartSpec) -> str:
    if source.study:
        return f"{known} trials of {source.study} are known"
    left_out = "; the others have not completed, have no finite value, or are no points of this space"
    return f"{known} of {len(source.tasks)} tasks are known{left_out if known < len(source.tasks) else ''}"


def values_to_repeat(file: StudyFile, api: Api, on_note: Callable[[str], None]) -> list[EarlierValues]:
    """The studies whose values count once this study has repeated some of them."""
    found = []
    for source in file.spec.warm_start:
        if source.if_repeated:
            try:
                name = read_study(api, str(source.study)).name
                found.append(EarlierValues(name, list(_known_of(source, file, api))))
            except InputError as error:  # perhaps deleted since; the study can do without
                on_note(f"warm start: {error}: its values do not count")
    return found


def with_earlier_points(
    file: StudyFile, templates: Mapping[str, str], api: Api, on_note: Callable[[str], None], *, but: str = ""
) -> StudyFile:
    """A study with what earlier ones have found, where it asks for that (``warm_start: auto``).

    Looked at are the newest studies of the project that have the same ranges and the same objectives. The best point of
    each is tried first: their data may have been others. Where template, constants and goal are the same too, their
    values count once they are repeated.

    Args:
        templates: ids of the template tasks by model, as far as they are known.
        but: the study's own id.
    """
    wanted = sum(source.auto or 0 for source in file.spec.warm_start)
    if not wanted:
        return file
    points: list[Params] = []
    told: list[str] = []
    alike: dict[str, str] = {}
    for record in find_studies(api, project=file.spec.project, limit=_MOST_STUDIES):
        is_wanted = len(points) < wanted and record.study_id != but
        stored = _comparable(record, file) if is_wanted else None
        best = _best_of(record, file, api) if stored is not None else None
        if stored is None or best is None:
            continue
        if best.params not in points:
            points.append(best.params)
            told.append(f"trial {best.number} of {record.name}")
        if _trains_the_same(stored, file, templates):
            alike[record.study_id] = record.name
    if points:
        on_note(f"warm start: tried first are the best points of earlier studies: {', '.join(told)}")
    else:
        on_note(
            f"warm start: no earlier study in {file.spec.project} with these ranges and objectives has a best trial"
        )
    if alike:
        on_note(
            f"warm start: the values of {', '.join(alike.values())} (same template, constants and goal) count as soon "
            f"as this study has repeated {ENOUGH} of them"
        )
    elif points:
        on_note("warm start: values do not count, as template, constants or goal of these studies are others")
    return file.with_first(points, alike)


def _comparable(record: StudyRecord, file: StudyFile) -> StudyFile | None:
    """What a study keeps that has the same ranges and objectives; None of any other."""
    try:
        stored = parse_study(record.study_yaml, f"study {record.study_id}")
    except InputError:  # of another version, or edited by a user
        return None
    is_same = (stored.space.distributions, stored.goal.objectives) == (file.space.distributions, file.goal.objectives)
    return stored if is_same else None


def _trains_the_same(stored: StudyFile, file: StudyFile, templates: Mapping[str, str]) -> bool:
    """Whether an earlier study has the same templates, constants, conditions and goal."""
    ids = {model: one.task for model, one in stored.spec.template.by_model.items()}
    return (ids, stored.space, stored.goal) == (templates, file.space, file.goal)


def _best_of(record: StudyRecord, file: StudyFile, api: Api) -> Trial | None:
    replaced = ReplacedValues(api, file.goal)
    settled = read_trials(api, record.study_id, file.space, file.goal).settled
    return best_trial([t for t in settled if file.space.contains(t.params) and not replaced.are_of(t)], file.goal)


def _known_of(source: WarmStartSpec, file: StudyFile, api: Api) -> Iterable[Known]:
    if source.storage is not None:
        with file.at("warm_start", "storage"):
            return [*known_of(source.storage, str(source.study), file.space, file.goal)]
    replaced = ReplacedValues(api, file.goal)
    with file.at("warm_start", "tasks"):
        trials = list(_of_tasks(source.tasks, file, api, replaced))
    if source.study is not None:
        with file.at("warm_start", "study"):
            record = read_study(api, source.study)
        settled = read_trials(api, record.study_id, file.space, file.goal).settled
        trials += [trial for trial in settled if not replaced.are_of(trial)]
    return [
        Known(trial.params, trial.final_values, trial.violations)
        for trial in trials
        if trial.final_values is not None
        and file.space.contains(trial.params)
        and all(map(math.isfinite, trial.final_values))
    ]


def _of_tasks(ids: list[str], file: StudyFile, api: Api, replaced: ReplacedValues) -> Iterable[Trial]:
    if not ids:
        return
    held = ["configuration"] if holds_parameters(file.space) else []
    fields = ["status", "hyperparams", *held, *metric_fields(file.goal.metrics)]
    tasks = by_id(api, "tasks", ids, fields, search_hidden=True)
    missing = [task_id for task_id in ids if task_id not in tasks]
    if missing:
        raise InputError(f"no task {missing[0]} on the server")
    for number, task_id in enumerate(ids):
        snapshot = replaced.as_reported(snapshot_of(tasks[task_id]), (), ends=True)[0]
        properties = user_properties(tasks[task_id].get("hyperparams") or {})
        ended = TrialState.COMPLETED if snapshot.status in COMPLETED else TrialState.FAILED
        yield Trial(
            number,
            params_of(tasks[task_id], file.space),
            task_id,
            state=marked_state(properties) or ended,  # a trial that was pruned or has paused may be completed, too
            values=values_of(snapshot, properties, file.goal),
            violations=file.goal.violations(snapshot.summaries),
        )
