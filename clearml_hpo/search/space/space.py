"""A search space: parameters, their conditions, and what must hold between them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from clearml_hpo.core.values import MODEL, Params, Value, full_name, plain_text
from clearml_hpo.search.space.conditions import Condition, faults_of_conditions
from clearml_hpo.search.space.expressions import Expression
from clearml_hpo.search.space.ranges import Categorical, Combination, Constant, Distribution, Float, Parameter
from clearml_hpo.search.space.steps import Step, count, points, steps_of, walk


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
        combined = Counter(name for combination in self.combinations for name in combination.parameters)
        for name, times in combined.items():
            if times > 1 or name in self.parameters:
                raise ValueError(f"{name} is given twice")
            if name in self.conditions:
                raise ValueError(f"{name} is part of a combination and cannot have a condition")
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
        return walk(self._steps, lambda step, kind: step.given(draw(step.name, kind)))

    def along_axes(self, params: Params) -> dict[str, Value]:
        """A point in the sampler's terms: by axis, combinations as their texts."""
        drawn: dict[str, Value] = {}

        def note(step: Step, _: Distribution) -> Params:
            taken = step.taken(params)
            drawn[step.name] = step.combination.label(taken) if step.combination else taken[step.name]
            return taken

        walk(self._steps, note)
        return drawn

    def contains(self, params: Params) -> bool:
        """Whether ``params`` is a point of this space.

        That is: the active varying parameters and no others, each within its range, and the constraints hold.
        """
        within = True

        def check(step: Step, kind: Distribution) -> Params:
            nonlocal within
            taken = step.taken(params)
            within = within and bool(taken) and (step.combination is not None or kind.contains(taken[step.name]))
            return taken

        active = walk(self._steps, check)
        return within and active.keys() == params.keys() and self.allows(params)

    def key(self, params: Params) -> frozenset[tuple[str, type, Value]]:
        """What tells points apart."""
        kinds = self.distributions
        keys = {n: kind.key(v) if isinstance(kind := kinds.get(n), Float) else v for n, v in params.items()}
        return frozenset((name, type(value), value) for name, value in keys.items())

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
        return walk(self._steps, lambda step, _: step.taken(read))

    def points(self, limit: int) -> Iterator[dict[str, Value]]:
        """All points that the constraints allow; none if there are more than ``limit`` without them."""
        if self.size <= limit:
            varying = self.distributions
            found = ({n: v for n, v in point.items() if n in varying} for point in points(self._steps, {}))
            yield from filter(self.allows, found)

    @cached_property
    def size(self) -> float:
        """How many points there are, constraints not looked at; infinity if one parameter is continuous."""
        return count(self._steps)

    @cached_property
    def _steps(self) -> tuple[Step, ...]:
        return steps_of(self.parameters, self.conditions, self.combinations)


def at_random(rng: random.Random) -> Callable[[str, Distribution], Value]:
    """For :meth:`SearchSpace.build`: a point at random."""
    return lambda _, distribution: distribution.draw(rng)


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
