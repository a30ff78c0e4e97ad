"""A search space that grows while its study runs: what Optuna calls define-by-run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from clearml_hpo.core.values import DEFAULT_SECTION, Params, Value, plain_text
from clearml_hpo.search.space.ranges import Categorical, Constant, Distribution, Float, Int, Parameter
from clearml_hpo.search.space.space import SearchSpace


@dataclass(frozen=True)
class OpenSpace(SearchSpace):
    """The parameters that trials have suggested so far; each trial has some of them.

    All that are known are proposed; a trial leaves out what it does not use, and draws by itself what is new.
    """

    parameters: dict[str, Parameter] = field(default_factory=dict)

    def grow(self, found: Mapping[str, Parameter]) -> bool:
        """Adds parameters; a range that is known becomes one that covers both. True if something is new."""
        before = dict(self.parameters)
        for name, parameter in found.items():
            known = self.parameters.get(name)
            self.parameters[name] = parameter if known is None else _cover(known, parameter)
        for cached in ("all_parameters", "_steps"):
            self.__dict__.pop(cached, None)
        return self.parameters != before

    @property
    def is_conditional(self) -> bool:
        """True: some points have parameters that others have not."""
        return True

    @property
    def size(self) -> float:
        """Infinity: what trials will suggest is not known."""
        return math.inf

    def contains(self, params: Params) -> bool:
        """Whether all of ``params`` are known, each within its range."""
        known = self.distributions
        return all(name in known and known[name].contains(value) for name, value in params.items())

    @property
    def axes(self) -> dict[str, Distribution]:
        """Each parameter, by the name that the script gives it: samplers of the user's may name them."""
        return {_own(name): distribution for name, distribution in self.distributions.items()}

    def build(self, draw: Callable[[str, Distribution], Value]) -> dict[str, Value]:
        """A point that has all parameters."""
        return {name: draw(_own(name), distribution) for name, distribution in self.distributions.items()}

    def along_axes(self, params: Params) -> dict[str, Value]:
        """The same, by the script's names."""
        return {_own(name): value for name, value in params.items()}

    def parse(self, texts: Mapping[str, str]) -> dict[str, Value]:
        """Reads back what a trial has of the space; what cannot be read stays as it was found."""
        return {name: _read(name, d, texts[name]) for name, d in self.distributions.items() if name in texts}


def _own(name: str) -> str:
    return name.removeprefix(f"{DEFAULT_SECTION}/")


def _read(name: str, distribution: Distribution, text: str) -> Value:
    try:
        return distribution.parse(plain_text(name, text))
    except ValueError:
        return text


def _cover(known: Parameter, found: Parameter) -> Parameter:
    """A range that covers both; the newer one, if they are of different kinds."""
    if isinstance(known, Int) and isinstance(found, Int):
        step = known.step if known.step == found.step and not (known.low - found.low) % known.step else 1
        return Int(min(known.low, found.low), max(known.high, found.high), step, found.log)
    if isinstance(known, Float) and isinstance(found, Float):
        step_ = known.step if known.step == found.step else None
        return Float(min(known.low, found.low), max(known.high, found.high), step_, found.log)
    if isinstance(known, Categorical) and isinstance(found, Categorical):
        new = [each for each in found.choices if not known.contains(each)]
        return Categorical((*known.choices, *new)) if new else known
    return known if isinstance(known, Constant) else found
