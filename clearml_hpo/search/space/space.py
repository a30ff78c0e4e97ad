"""A search space: parameters, their conditions, and what must hold between them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from clearml_hpo.core.values import MODEL, Params, Value, full_name, is_among, plain_text
from clearml_hpo.search.space.conditions import Condition, faults_of_conditions
from clearml_hpo.search.space.expressions import Expression
from clearml_hpo.search.space.ranges import Categorical, Combination, Constant, Distribution, Parameter


@dataclass(frozen=True)
class _Step:
    """One thing to decide on the way to a point: what it is called, from what it is drawn, and when."""

    name: str
    kind: Parameter
    condition: Condition = field(default_factory=dict)
    combination: Combination | None = None

    @property
    def names(self) -> Iterable[str]:
        return self.combination.parameters if self.combination else (self.name,)

    def is_active(self, known: Params) -> bool:
        return all(parent in known and is_among(known[parent], values) for parent, values in self.condition.items())

    def given(self, value: Value) -> Params:
        """The parameters that it decides."""
        if self.combination is None:
            return {self.name: value}
        return next(choice for choice in self.combination.choices if self.combination.label(choice) == value)

    def taken(self, params: Params) -> Params:
        """What ``params`` says of it; empty if nothing."""
        if self.combination is not None:
            return self.combination.find(params)
        return {self.name: params[self.name]} if self.name in params else {}


@dataclass(frozen=True)
class SearchSpace:
    """Parameters by their full ClearML name, ``section/name``.

    Attributes:
        parameters: those that stand alone, and constants.
        conditions: when a parameter is active; one without is active always. A parameter whose condition names an
            inactive one is inactive.
        constraints: what must hold between parameters; one that names an inactive parameter is not looked at.
        combinations: parameters that take their values together.
        models: names of the templates, where there are several.

    Raises:
        ValueError: a condition names an unknown parameter, a value that it cannot take, or goes round in a circle; a
            parameter is in two combinations.
    """

    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    constraints: tuple[Expression, ...] = ()
    combinations: tuple[Combination, ...] = ()
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        combined = [name for combination in self.combinations for name in combination.parameters]
        twice = [name for name in combined if combined.count(name) > 1 or name in self.parameters]
        if twice:
            raise ValueError(f"{twice[0]} is given twice")
        conditional = [name for name in combined if name in self.conditions]
        if conditional:
            raise ValueError(f"{conditional[0]} is part of a combination and cannot have a condition")
        if self.models and not isinstance(self.parameters.get(MODEL), (Categorical, Constant)):
            raise ValueError(f"{MODEL} is missing, which says of which template a trial is a clone")
        fault = next(faults_of_conditions(self.all_parameters, self.conditions), None)
        if fault is not None:
            raise ValueError(f"the condition of {fault[0]}: {fault[2]}")

    @cached_property
    def all_parameters(self) -> dict[str, Parameter]:
        """Every hyperparameter that trials may be given, those of combinations each by itself."""
        combined = {n: p for combination in self.combinations for n, p in combination.parameters.items()}
        return {**combined, **self.parameters}

    @property
    def distributions(self) -> dict[str, Distribution]:
        """The parameters that vary, those of combinations each by itself."""
        return {name: p for name, p in self.all_parameters.items() if not isinstance(p, Constant)}

    @property
    def constants(self) -> dict[str, Value]:
        """The values that every trial gets; conditional constants are not among them."""
        return {n: p.value for n, p in self.parameters.items() if isinstance(p, Constant) and n not in self.conditions}

    @property
    def axes(self) -> dict[str, Distribution]:
        """What the sampler draws, parents before their children: each parameter, and each combination as one."""
        return {step.name: step.kind for step in self._steps if not isinstance(step.kind, Constant)}

    @property
    def is_conditional(self) -> bool:
        """Whether some points have parameters that others have not."""
        return any(name in self.distributions for name in self.conditions)

    def build(self, draw: Callable[[str, Distribution], Value]) -> dict[str, Value]:
        """A point of which ``draw`` says the value of each active axis; constraints are not looked at."""
        return self._walk(lambda step, kind: step.given(draw(step.name, kind)))

    def draw(self, rng: random.Random) -> dict[str, Value]:
        """A point at random; constraints are not looked at."""
        return self.build(lambda _, distribution: distribution.draw(rng))

    def along_axes(self, params: Params) -> dict[str, Value]:
        """A point in the sampler's terms: by axis, combinations as their texts."""
        drawn: dict[str, Value] = {}

        def note(step: _Step, _: Distribution) -> Params:
            taken = step.taken(params)
            drawn[step.name] = step.combination.label(taken) if step.combination else taken[step.name]
            return taken

        self._walk(note)
        return drawn

    def contains(self, params: Params) -> bool:
        """Whether ``params`` is a point of this space.

        That is: the active varying parameters and no others, each within its range, and the constraints hold.
        """
        within = True

        def check(step: _Step, kind: Distribution) -> Params:
            nonlocal within
            taken = step.taken(params)
            within = within and bool(taken) and (step.combination is not None or kind.contains(taken[step.name]))
            return taken

        active = self._walk(check)
        return within and active.keys() == params.keys() and self.allows(params)

    def allows(self, params: Params) -> bool:
        """Whether the constraints between parameters hold at ``params``."""
        if not self.constraints:
            return True
        values = self.hyperparameters(params)
        return all(_holds(constraint, values) for constraint in self.constraints if constraint.names <= values.keys())

    def hyperparameters(self, params: Params) -> dict[str, Value]:
        """All that a trial at ``params`` is given: these, and the constants that are active with them."""
        known: dict[str, Value] = {}
        for step in self._steps:
            if step.is_active(known):
                known.update({step.name: step.kind.value} if isinstance(step.kind, Constant) else step.taken(params))
        return {**known, **params}

    @property
    def used_models(self) -> tuple[str, ...]:
        """The templates that a trial may be a clone of; a single one has no name: ``""``."""
        if not self.models:
            return ("",)
        model = self.parameters[MODEL]
        return tuple(map(str, (model.value,) if isinstance(model, Constant) else model.values or ()))

    def model_of(self, params: Params) -> str:
        """Of which template a trial at ``params`` is a clone."""
        return str(self.hyperparameters(params).get(MODEL, "")) if self.models else ""

    def names_in(self, model: str) -> dict[str, str]:
        """What a template calls the parameters that its trials may be given, by their names here."""
        if not self.models:
            return {name: name for name in self.all_parameters}
        names: dict[str, str] = {}
        for name in self.all_parameters:
            owner, _, rest = name.partition("/")
            if owner == model:
                names[name] = full_name(rest)
            elif (
                name != MODEL
                and owner not in self.models
                and model in self.conditions.get(name, {}).get(MODEL, (model,))
            ):
                names[name] = name
        return names

    def in_task(self, params: Params) -> dict[str, Value]:
        """All that the task of a trial at ``params`` is given, by the names in its template."""
        given = self.hyperparameters(params)
        if not self.models:
            return given
        names = self.names_in(self.model_of(params))
        return {names[name]: value for name, value in given.items() if name in names}

    def named(self, texts: Mapping[str, str], model: str) -> dict[str, str]:
        """Hyperparameters of a template, or of a task of it, by their names here."""
        found = {name: texts[own] for name, own in self.names_in(model).items() if own in texts}
        return {**found, MODEL: model} if self.models else found

    def parse(self, texts: Mapping[str, str]) -> dict[str, Value]:
        """Reads back a point of the space from hyperparameters, which are text; inactive ones are passed over.

        What is missing or cannot be read is left as it was found, so that :meth:`contains` says no.
        """
        read = {name: _parsed(name, d, texts[name]) for name, d in self.distributions.items() if name in texts}
        return self._walk(lambda step, _: step.taken(read))

    def points(self, limit: int) -> Iterator[dict[str, Value]]:
        """All points that the constraints allow; none if there are more than ``limit`` without them."""
        if self.size <= limit:
            yield from (point for point in self._points(0, {}) if self.allows(point))

    @cached_property
    def size(self) -> float:
        """How many points there are, constraints not looked at; infinity if one parameter is continuous."""
        return _count(self._steps, 0, {}, {})

    def _points(self, index: int, known: Params) -> Iterator[dict[str, Value]]:
        if index == len(self._steps):
            distributions = self.distributions
            yield {name: value for name, value in known.items() if name in distributions}
            return
        step = self._steps[index]
        if not step.is_active(known):
            yield from self._points(index + 1, known)
            return
        values = (step.kind.value,) if isinstance(step.kind, Constant) else step.kind.values or ()
        for value in values:
            yield from self._points(index + 1, {**known, **step.given(value)})

    def _walk(self, decide: Callable[[_Step, Distribution], Params]) -> dict[str, Value]:
        """The varying parameters, decided step by step where they are active."""
        known: dict[str, Value] = {}
        decided: dict[str, Value] = {}
        for step in self._steps:
            if not step.is_active(known):
                continue
            if isinstance(step.kind, Constant):
                known[step.name] = step.kind.value
            else:
                found = decide(step, step.kind)
                known.update(found)
                decided.update(found)
        return decided

    @cached_property
    def _steps(self) -> tuple[_Step, ...]:
        """In the order given, but each parameter as soon as all that its condition names are there."""
        waiting = {n: _Step(n, p, self.conditions.get(n, {})) for n, p in self.parameters.items()}
        steps = [_Step(c.name, c.axis, combination=c) for c in self.combinations]
        known = {name for step in steps for name in step.names}
        while waiting:
            step = next(s for s in waiting.values() if s.condition.keys() <= known)
            steps.append(waiting.pop(step.name))
            known.add(step.name)
            children = (s for s in waiting.values() if step.name in s.condition and s.condition.keys() <= known)
            waiting = {**{child.name: child for child in children}, **waiting}
        return tuple(steps)


class _Other:
    """Stands for the values of a parameter that no condition names."""


def _count(steps: Sequence[_Step], index: int, known: Mapping[str, object], counted: dict[object, float]) -> float:
    """How many ways there are to decide ``steps`` from ``index`` on; ``counted`` are those found before."""
    if index == len(steps):
        return 1
    named = {parent for step in steps[index:] for parent in step.condition}
    key = (index, frozenset((n, type(v), v) for n, v in known.items() if n in named))
    if key not in counted:
        counted[key] = _count_step(steps, index, known, counted)
    return counted[key]


def _count_step(steps: Sequence[_Step], index: int, known: Mapping[str, object], counted: dict[object, float]) -> float:
    step = steps[index]

    def rest(found: Mapping[str, object]) -> float:
        return _count(steps, index + 1, {**known, **found}, counted)

    if not all(is_among(known.get(parent, _Other), values) for parent, values in step.condition.items()):
        return rest({})
    if isinstance(step.kind, Constant):
        return rest({step.name: step.kind.value})
    if step.combination is not None:
        return sum(rest(choice) for choice in step.combination.choices)
    values = step.kind.values
    if values is None:
        return math.inf
    named = {(type(v), v): v for later in steps[index:] for v in later.condition.get(step.name, ())}
    total = sum(rest({step.name: value}) for value in named.values())
    return total + (len(values) - len(named)) * rest({}) if len(values) > len(named) else total


def _holds(constraint: Expression, values: Params) -> bool:
    try:
        return constraint.holds(values)
    except TypeError:  # for some values only, or it would have been a fault of the study file
        return False


def _parsed(name: str, distribution: Distribution, text: str) -> Value:
    try:
        return distribution.parse(plain_text(name, text))
    except ValueError:
        return text
