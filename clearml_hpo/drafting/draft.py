"""The text of a study file, made from what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from clearml_hpo.core.goal import SINGLE_VALUES
from clearml_hpo.drafting.found import Findings, Found, Metric
from clearml_hpo.drafting.ranges import Range, propose

MOST_VARIED = 8
"""So many parameters are varied unless the user says which: more need more trials than most studies have."""

NO_METRIC = Metric("validation/loss", "minimize")
"""Stands in the file until the script reports a scalar."""

_TRIALS_PER_PARAMETER = 8
_SHORTEST_PART = 3  # of a name of a project
_WIDEST = 100_000
_LONGEST_OWN = 100  # characters of a value that is not varied


@dataclass(frozen=True)
class Draft:
    """A study that is proposed.

    Attributes:
        template: the block ``template`` of the study file.
        ranges: of each hyperparameter, by its name.
        varied: names of those that are in its search space.
        notes: what must be filled in before the first run, a line each.
        objective: None if the script reports nothing.
    """

    name: str
    template: Mapping[str, Any]
    findings: Findings
    ranges: Mapping[str, Range]
    varied: tuple[str, ...]
    objective: Metric | None
    trials: int
    source: str = ""
    notes: Sequence[str] = field(default_factory=tuple)
    sampler: str = "auto"
    pruner: Mapping[str, Any] = field(default_factory=dict)

    @property
    def direction(self) -> str:
        """Which values of the objective are better."""
        return (self.objective.direction if self.objective else "") or "minimize"


def draft(name: str, template: Mapping[str, Any], findings: Findings, source: str) -> Draft:
    """Proposes a study: which parameters it varies and in which ranges, its objective and its budget."""
    offered = [found for found in findings.parameters if found.name not in findings.repeated]
    ranges = {found.name: propose(found, findings.libraries) for found in offered}
    able = [name for name, one in ranges.items() if one.is_varied]
    likeliest = sorted(able, key=lambda name: ranges[name].rank)[:MOST_VARIED]
    varied = tuple(name for name in ranges if name in likeliest)
    objective = findings.metrics[0] if findings.metrics else None
    return Draft(name, template, findings, ranges, varied, objective, trials_for(len(varied)), source)


def trials_for(parameters: int) -> int:
    """A budget that suits so many parameters."""
    return min(100, max(20, _TRIALS_PER_PARAMETER * parameters))


def text_of(draft: Draft) -> str:
    """The study file."""
    return "\n".join(_lines(draft)) + "\n"


def _lines(draft: Draft) -> Iterator[str]:
    findings, objective = draft.findings, draft.objective or NO_METRIC
    yield f"# Drafted by clearml-hpo from {draft.source}; docs/study_file.md explains every key."
    for text in (*findings.before, *draft.notes):
        yield f"# Before the first run: {text}"
    yield f"study: {flow(draft.name)}"
    yield f"project: {flow(_project(findings))}"
    yield ""
    yield "template:"
    yield from (f"  {key}: {flow(value)}" for key, value in draft.template.items())
    yield ""
    yield from _search_space(draft)
    yield ""
    yield "objective:"
    known = "     # a guess: what ClearML reports of the evaluation set" if objective.is_guess else ""
    known = known if draft.objective else "     # PLACEHOLDER: the script reports no scalar yet"
    yield f"  metric: {flow(objective.name)}{known}"
    unsure = "" if objective.direction else "        # or maximize: its name does not say"
    yield f"  direction: {draft.direction}{unsure}"
    if not objective.name.startswith(f"{SINGLE_VALUES}/"):
        yield "  value: last                # or best: the best value of the whole run"
    others = [metric.name for metric in findings.metrics if metric != draft.objective]
    yield from (f"  # metric: {flow(name)}" for name in others)
    yield ""
    yield "budget:"
    yield f"  trials: {draft.trials}"
    yield "  # time: 8h"
    yield ""
    yield f"sampler: {draft.sampler}"
    hint = "# pruner: none               # default: auto ends trials that are behind, if they report as they train"
    yield f"pruner: {flow(draft.pruner)}" if draft.pruner else hint
    yield ""
    yield "execution:"
    yield "  queue: default             # of your ClearML server; `run --local` uses this machine instead"


def _search_space(draft: Draft) -> Iterator[str]:
    by_name = {found.name: found for found in draft.findings.parameters}
    if not draft.varied:
        yield "search_space: {}               # give a range to at least one of these"
    else:
        yield "search_space:"
    varied = [
        (f"  {flow(name)}: {flow(draft.ranges[name].definition)}", draft.ranges[name].why) for name in draft.varied
    ]
    width = max((len(line) for line, _ in varied), default=0)
    yield from (f"{line:<{width}}  # {why}" for line, why in varied)
    left = [name for name in draft.ranges if name not in draft.varied]
    if left:
        yield "  # Not varied; each keeps the script's own value:"
    for name in left:
        one = draft.ranges[name]
        value = one.definition if one.is_varied else by_name[name].default
        yield f"  # {flow(name)}: {_shortened(flow(value))}    ({one.why})"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_OWN else f"{text[:_LONGEST_OWN]} ..."


def flow(value: Any) -> str:
    """A value as YAML, in one line."""
    options: dict[str, Any] = {"default_flow_style": True, "sort_keys": False, "width": _WIDEST, "allow_unicode": True}
    text = str(yaml.dump(value, Dumper=_Dumper, **options)).removesuffix("...\n").strip()
    return str(yaml.dump(value, Dumper=_Dumper, **options, default_style='"')).strip() if "\n" in text else text


class _Dumper(yaml.SafeDumper):
    """Writes what YAML has no word for as its text, such as a member of an Enum."""


_Dumper.add_multi_representer(object, lambda dumper, value: dumper.represent_str(str(value)))


def _project(findings: Findings) -> str:
    """The script's project; each part of a project's name has three characters or more."""
    return findings.project if min(map(len, findings.project.split("/"))) >= _SHORTEST_PART else "clearml-hpo"


def arguments_of(parameters: Sequence[Found]) -> list[Found]:
    """The parameters without which the script ends."""
    return [found for found in parameters if found.is_required and found.name.startswith("Args/")]


def missing_arguments(parameters: Sequence[Found], given: Sequence[str]) -> list[Found]:
    """The arguments without which the script ends, and which are not ``given``."""
    options = {word.partition("=")[0] for word in given if word.startswith("-")}
    with_value = sum(word.startswith("-") and "=" not in word for word in given)
    free = sum(not word.startswith("-") for word in given) - with_value
    missing = []
    for found in arguments_of(parameters):
        if found.is_positional:
            free -= 1
            missing += [found] if free < 0 else []
        elif found.flag not in options:
            missing.append(found)
    return missing
