"""The points that ``enqueue`` lists, held against the template whose values they are filled up with."""

from __future__ import annotations

from collections.abc import Sequence

from clearml_hpo.errors import Fault
from clearml_hpo.search_space import Params, as_text
from clearml_hpo.spec import StudyFile
from clearml_hpo.tasks import Template


def first_points(file: StudyFile, template: Template) -> Sequence[Params]:
    """The points that the file lists, in its order; what a point lacks is the template's own."""
    own = template.params
    return [
        file.space.parse({**own, **{name: as_text(value) for name, value in given.items()}}) for given in file.first
    ]


def faults_of_first_points(file: StudyFile, template: Template) -> list[Fault]:
    """Those that are no points of the search space: out of range, or against a constraint between parameters."""
    own = file.space.parse(template.params)
    return [
        Fault(
            ("enqueue", index),
            f"{dict(given)}, with the template's own values {own}, is no point of the search space",
        )
        for index, (given, point) in enumerate(zip(file.first, first_points(file, template), strict=True))
        if not file.space.contains(point)
    ]
