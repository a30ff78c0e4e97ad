"""The points that are tried first, held against the templates whose values they are filled up with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from clearml_hpo.backend.template import Template, Templates
from clearml_hpo.backend.trial_records import TrialRecords
from clearml_hpo.core.errors import Fault, InputError
from clearml_hpo.core.trial import Trial
from clearml_hpo.core.values import Params, as_text
from clearml_hpo.search.space import OpenSpace
from clearml_hpo.study_file import KnownPoints, StudyFile, known_points


def own_point(file: StudyFile, template: Template, model: str) -> Params:
    """The template's own values."""
    return file.space.parse(file.space.named(template.params, model))


def first_points(file: StudyFile, templates: Templates) -> Mapping[int, Params]:
    """The points that the file lists, by their place there; what a point lacks is the template's own.

    Those of other models than ``templates`` has are left out. Where scripts suggest their parameters themselves, a
    point is as it is given.
    """
    if isinstance(file.space, OpenSpace):
        return dict(enumerate(file.first))
    points = {}
    for index, given in enumerate(file.first):
        model = file.space.model_of(given)
        if model in templates:
            points[index] = full_point(file, templates[model], model, given)
    return points


def full_point(file: StudyFile, template: Template, model: str, given: Params) -> Params:
    """A point of some parameters; what it lacks is the template's own."""
    own = file.space.named(template.params, model)
    return file.space.parse({**own, **{name: as_text(value) for name, value in given.items()}})


def faults_of_first_points(file: StudyFile, templates: Templates) -> list[Fault]:
    """Those that are no points of the search space: out of range, or against a constraint between parameters."""
    faults = []
    for index, point in first_points(file, templates).items():
        if not isinstance(file.space, OpenSpace) and not file.space.contains(point):
            given = file.first[index]
            model = file.space.model_of(given)
            own = dict(own_point(file, templates[model], model))
            text = f"{dict(given)}, with the template's own values {own}, is no point of the search space"
            faults.append(Fault(("enqueue", index), text))
    return faults


def good_points(file: StudyFile, templates: Templates) -> KnownPoints:
    """The known-good points of the search space, filled up with the values of those templates that are known."""
    known = known_points(file)
    fitting, others = [], [*known.others]
    for given in known.fitting:
        model, point = file.space.model_of(given), given
        if model in templates and not isinstance(file.space, OpenSpace):
            point = full_point(file, templates[model], model, given)
            if not file.space.contains(point):
                others.append(f"{dict(given)}: with the template's own values it is no point of the search space")
                continue
        fitting.append(point)
    return KnownPoints(tuple(fitting), tuple(others))


def said_of(points: KnownPoints, *, has_values: bool) -> str:
    """What users are told of known-good points; empty if the search space has none.

    Args:
        has_values: whether ``warm_start`` gives the study trials with their values; then no such point is tried.
    """
    if not (points.fitting or points.others):
        return ""
    if has_values:
        return "known-good points of the search space are not tried: warm_start gives trials with values"
    tried = f"known-good points of the search space, tried first: {len(points.fitting)}"
    left_out = f"; left out, as they do not fit this study: {'; '.join(points.others)}" if points.others else ""
    return f"{tried} (known_points: false for none){left_out}"


def untried_points(
    file: StudyFile,
    templates: Templates,
    records: TrialRecords | None,
    baselines: Mapping[int, Trial],
    known_good: Sequence[Params] = (),
) -> Sequence[Params]:
    """The templates' own values, unless they run already, and the points that this study has not tried.

    Those are the points of the file, and then the known-good ones.

    Raises:
        InputError: a point of the file is none of the search space.
    """
    faults = faults_of_first_points(file, templates)
    if faults:
        raise InputError(file.explain(faults))
    known = [trial.params for trial in records.latest] if records is not None else []
    begun = {file.space.model_of(params) for params in (*known, *(trial.params for trial in baselines.values()))}
    own = [own_point(file, templates[model], model) for model in file.space.used_models if model not in begun]
    tried = [params.items() for params in known]
    points = [*own, *first_points(file, templates).values()]
    points += [point for point in known_good if point not in points]
    return [point for point in points if point in own or not any(point.items() <= each for each in tried)]


def without_baselines(records: TrialRecords | None, baselines: Mapping[int, Trial]) -> TrialRecords | None:
    """The records without the trials that are first runs now; their other attempts become earlier ones."""
    if records is None or not baselines:
        return records
    before = [trial for trial in records.latest if trial.number in baselines]
    return replace(
        records,
        settled=_others(records.settled, baselines),
        unsettled=_others(records.unsettled, baselines),
        drafts=_others(records.drafts, baselines),
        earlier=(*records.earlier, *(t for t in before if t.task_id != baselines[t.number].task_id)),
    )


def _others(trials: Sequence[Trial], baselines: Mapping[int, Trial]) -> tuple[Trial, ...]:
    return tuple(trial for trial in trials if trial.number not in baselines)
