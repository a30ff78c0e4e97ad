"""Reads and checks a study file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from clearml_hpo import pruners, samplers
from clearml_hpo.budget import Budget
from clearml_hpo.errors import Fault, InputError, nearest
from clearml_hpo.objective import Objective
from clearml_hpo.search_space import SearchSpace, Value
from clearml_hpo.spec.marks import KeyPath, Marks, dotted, mark_of, read_yaml
from clearml_hpo.spec.models import StudySpec
from clearml_hpo.spec.overrides import apply_override
from clearml_hpo.spec.space import read_search_space, use_full_names


@dataclass(frozen=True)
class StudyFile:
    """A checked study file: the spec, and the values that the stages take.

    Attributes:
        text: the spec as YAML, overrides applied, the search space written out; what the controller task keeps.
    """

    spec: StudySpec
    space: SearchSpace
    objective: Objective
    budget: Budget
    text: str
    marks: Marks = field(repr=False)

    def explain(self, faults: Iterable[Fault]) -> str:
        """A line for each fault, with the file and line of its key."""
        return "\n".join(f"{mark_of(self.marks, fault.key)}: {fault}" for fault in faults)


def load_study(path: Path, overrides: Sequence[str] = ()) -> StudyFile:
    """Reads and checks a study file; paths in it are relative to its own folder.

    Args:
        path: the YAML file.
        overrides: ``key.key=value`` texts, the value in YAML, applied before the check.

    Raises:
        InputError: with one line per fault, each naming file, line, key, what was found and what is allowed.
    """
    data, marks = read_yaml(path)
    _include_search_space(data, marks, path.parent)
    for override in overrides:
        apply_override(data, marks, override)
        _include_search_space(data, marks, path.parent)
    try:
        spec = StudySpec.model_validate(data)
    except ValidationError as error:
        raise InputError("\n".join(_explain(error, data, marks))) from None
    faults: list[str] = []
    space = read_search_space(spec.search_space, marks, faults)
    if spec.template.script is not None:
        spec = _with_script(spec, path.parent, marks, faults)
    faults += _faults_of_names(spec, marks)
    if faults:
        raise InputError("\n".join(faults))
    return StudyFile(
        spec=spec,
        space=space,
        objective=Objective.parse(spec.objective.metric, spec.objective.direction, spec.objective.value),
        budget=Budget(trials=spec.budget.trials, wall_s=spec.budget.time),
        text=yaml.safe_dump(data, sort_keys=False, allow_unicode=True),
        marks=marks,
    )


def dump_params(params: Mapping[str, Value]) -> str:
    """Parameters as YAML that a search space takes back as constants."""
    return yaml.safe_dump(dict(params), sort_keys=False, allow_unicode=True)


def _faults_of_names(spec: StudySpec, marks: Marks) -> Iterable[str]:
    """Options that the sampler or the pruner does not take."""
    builds: dict[str, Callable[[], object]] = {
        "sampler": lambda: samplers.build_sampler(
            spec.sampler.name, seed=spec.sampler.seed, options=spec.sampler.options
        ),
        "pruner": lambda: pruners.build_pruner(spec.pruner.name, options=spec.pruner.options),
    }
    for key, build in builds.items():
        try:
            build()
        except InputError as error:
            yield f"{mark_of(marks, (key, 'options'))}: {error}"


def _include_search_space(data: dict[Any, Any], marks: Marks, folder: Path) -> None:
    """Puts the file that ``search_space`` names in its place, with the lines of that file; names become full names."""
    given = data.get("search_space")
    if isinstance(given, str):
        path = folder / given
        if not path.is_file():
            raise InputError(f"{marks[('search_space',)]}: search_space: no such file: {path}")
        space, space_marks = read_yaml(path)
        data["search_space"] = space
        marks.update({("search_space", *loc): mark for loc, mark in space_marks.items() if loc})
    use_full_names(data, marks)


def _with_script(spec: StudySpec, folder: Path, marks: Marks, faults: list[str]) -> StudySpec:
    script = (folder / str(spec.template.script)).resolve()
    if not script.is_file():
        faults.append(f"{mark_of(marks, ('template', 'script'))}: template.script: no such file: {script}")
    return spec.model_copy(update={"template": spec.template.model_copy(update={"script": script})})


def _explain(error: ValidationError, data: Mapping[Any, Any], marks: Marks) -> Iterable[str]:
    for fault in error.errors():
        path = tuple(fault["loc"])
        where, key = mark_of(marks, path), dotted(path)
        kind, message = fault["type"], fault["msg"].removeprefix("Value error, ")
        if kind == "extra_forbidden":
            allowed = _allowed_keys(path[:-1])
            yield f"{where}: {key}: unknown key{nearest(str(path[-1]), allowed)}; allowed: {', '.join(allowed)}"
        elif kind == "missing":
            yield f"{where}: {key} is missing"
        elif kind == "literal_error":
            allowed = [text.strip("' ") for text in re.split(r", | or ", fault["ctx"]["expected"])]
            found = fault["input"]
            yield f"{where}: {key}: found {found!r}{nearest(str(found), allowed)}; one of: {', '.join(allowed)}"
        elif kind == "value_error":
            yield f"{where}: {key}: {message}" if key else f"{where}: {message}"
        else:
            yield f"{where}: {key}: found {fault['input']!r}; {message[0].lower()}{message[1:]}"


def _allowed_keys(path: KeyPath) -> list[str]:
    model: type[BaseModel] = StudySpec
    for part in path:
        annotation = model.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)
