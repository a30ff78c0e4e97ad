"""The points that are tried first, held against the templates whose values they are filled up with."""

from __future__ import annotations

from collections.abc import Mapping

from clearml_hpo.backend.template import Template, Templates
from clearml_hpo.core.errors import Fault
from clearml_hpo.core.values import Params, as_text
from clearml_hpo.study_file import StudyFile


def own_point(file: StudyFile, template: Template, model: str) -> Params:
    """The template's own values."""
    return file.space.parse(file.space.named(template.params, model))


def first_points(file: StudyFile, templates: Templates) -> Mapping[int, Params]:
    """The points that the file lists, by their place there; what a point lacks is the template's own.

    Those of other models than ``templates`` has are left out.
    """
    points = {}
    for index, given in enumerate(file.first):
        model = file.space.model_of(given)
        if model in templates:
            own = file.space.named(templates[model].params, model)
            points[index] = file.space.parse({**own, **{name: as_text(value) for name, value in given.items()}})
    return points


def faults_of_first_points(file: StudyFile, templates: Templates) -> list[Fault]:
    """Those that are no points of the search space: out of range, or against a constraint between parameters."""
    faults = []
    for index, point in first_points(file, templates).items():
        if not file.space.contains(point):
            given = file.first[index]
            model = file.space.model_of(given)
            own = dict(own_point(file, templates[model], model))
            text = f"{dict(given)}, with the template's own values {own}, is no point of the search space"
            faults.append(Fault(("enqueue", index), text))
    return faults
