"""What another tool's file says, as a draft of a study."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clearml_hpo.core.near_names import other_spellings, same_scalars
from clearml_hpo.core.values import DEFAULT_SECTION
from clearml_hpo.drafting.draft import Draft, trials_for
from clearml_hpo.drafting.found import Findings, Found, Metric
from clearml_hpo.drafting.location import Location
from clearml_hpo.drafting.metrics import metric
from clearml_hpo.drafting.ranges import Range
from clearml_hpo.drafting.script import read_script

_PLAIN = (int, float, str, bool, type(None))
_ANOTHER_NAME = "{} is {} in the script"


@dataclass
class Converted:
    """What was found in a file of another tool.

    Attributes:
        space: definitions of a study file by the tool's own names; levels are joined by slashes.
        left_out: what has no counterpart, a line each.
        metric: the tool's name of the objective; empty if it has none.
        template: keys of the block ``template``.
    """

    tool: str
    space: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    metric: str = ""
    direction: str = ""
    name: str = ""
    project: str = ""
    script: Path | None = None
    template: dict[str, Any] = field(default_factory=dict)
    trials: int | None = None
    sampler: str = "auto"
    pruner: Mapping[str, Any] = field(default_factory=dict)

    def add_range(self, name: str, kind: str, low: float, high: float, *, log: bool = False, step: float = 0) -> None:
        """A range; with a ``step``, its ends are multiples of that. What is empty or cannot be is left out."""
        if step:
            low, high = (
                round(edge * step, 12) for edge in (math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9))
            )
        if kind == "int":
            low, high, step = int(low), int(high), int(step)
        if not low <= high or (log and low <= 0):
            self.left_out.append(
                f"{name}: no value is in {low:g} .. {high:g}{' on a logarithmic scale' if log else ''}"
            )
            return
        more = {"log": True} if log else {"step": step} if step and (kind, step) != ("int", 1) else {}
        self.space[name] = {"type": kind, "low": low, "high": high, **more}

    def add_choices(self, name: str, values: Iterable[Any]) -> None:
        """Choices; lists become text, of several equal ones the first stays."""
        texts = [value if isinstance(value, _PLAIN) else str(list(value)) for value in values]
        unlike = {(type(value), value): value for value in texts}
        self.space[name] = {"type": "categorical", "choices": [*unlike.values()]}

    def add_constant(self, name: str, value: Any) -> None:
        """The same value for all trials."""
        self.space[name] = value if isinstance(value, _PLAIN) else str(value)


def draft_of(converted: Converted, study_folder: Path, source: Path) -> tuple[Draft, list[str]]:
    """The draft of a study, and what was made of names: those of the script, if it is there, count.

    Returns:
        The draft, with what must be filled in by hand as its notes; a line for each name that is another one.
    """
    renamed: list[str] = []
    findings, template, notes = Findings(), dict(converted.template), []
    if converted.script is not None and converted.script.is_file():
        place = Location.of(converted.script, study_folder)
        findings = read_script(place.script, place.root)
        template = {**place.template, **template}
    else:
        template = {"script": str(converted.script or "train.py"), **template}
        notes.append(f"template.script: there is no {template['script']}: name your training script")
    known = {found.name for found in findings.parameters}
    ranges, parameters = {}, []
    for name, definition in converted.space.items():
        own = _name_in(name, known)
        if own != f"{DEFAULT_SECTION}/{name}":
            renamed.append(_ANOTHER_NAME.format(name, own))
        ranges[own] = Range(definition, f"{converted.tool}: {name}")
        parameters.append(Found(own))
    objective = _objective(converted, findings.metrics)
    if objective is None:
        named = f" {converted.tool} calls it {converted.metric!r};" if converted.metric else ""
        notes.append(f"objective.metric:{named} name the scalar that the script reports to ClearML, title/series")
    elif objective.name != converted.metric:
        renamed.append(_ANOTHER_NAME.format(converted.metric, objective.name))
    count = sum(isinstance(one.definition, dict) for one in ranges.values())
    draft = Draft(
        name=converted.name or f"tune-{source.stem}",
        template=template,
        findings=Findings(tuple(parameters), findings.metrics, before=findings.before, project=converted.project),
        ranges=ranges,
        varied=tuple(ranges),
        objective=objective,
        trials=converted.trials or trials_for(count),
        source=source.name,
        notes=notes,
        sampler=converted.sampler,
        pruner=converted.pruner,
    )
    return draft, renamed


def _name_in(name: str, known: Iterable[str]) -> str:
    """The script's parameter of this name; in General if the script is not known, or has none."""
    same = other_spellings(f"{DEFAULT_SECTION}/{name}", known)
    return same[0] if len(same) == 1 else f"{DEFAULT_SECTION}/{name}"


def _objective(converted: Converted, reported: Iterable[Metric]) -> Metric | None:
    """The scalar that the tool's objective is."""
    if not converted.metric:
        return None
    same = same_scalars(converted.metric, [each.name for each in reported])
    name = same[0] if len(same) == 1 else converted.metric
    if "/" not in name:
        return None
    found = metric(name)
    return replace(found, direction=converted.direction) if converted.direction else found
