"""Points of a search space as rows of numbers, many at a time: what a model of the objective calculates with.

A row has a number for each axis. Of a number that is where it lies in its range, from 0 to 1, on the logarithm if the
range is. Of a categorical value it is its index. It is NaN where the axis is inactive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clearml_hpo.core.values import Params, Value, is_among
from clearml_hpo.search.gaussian_process import Array, Features
from clearml_hpo.search.space import Categorical, Constant, Distribution, Float, Int, SearchSpace

_IMPUTED = 0.5  # what the model sees of a number that is inactive


@dataclass(frozen=True)
class _Range:
    """An axis of numbers."""

    kind: Float | Int

    @property
    def width(self) -> float:
        """Of one step, as a part of the range; 0 if it is continuous."""
        if self.kind.step is None or self.kind.high == self.kind.low:
            return 0.0
        return float(self.kind.step / (self.kind.high - self.kind.low))

    def positions(self, numbers: Array) -> Array:
        low, high = self._ends
        found: Array = (self._scaled(numbers) - low) / (high - low) if high > low else np.zeros(len(numbers))
        return found

    def numbers(self, positions: Array) -> Array:
        """Those at ``positions``, rounded as the range asks for."""
        low, high = self._ends
        scaled = low + np.clip(positions, 0.0, 1.0) * (high - low)
        numbers = np.exp(scaled) if self.kind.log else scaled
        if self.kind.step is not None:
            most = math.floor((self.kind.high - self.kind.low) / self.kind.step + 1e-8)
            steps = np.clip(np.round((numbers - self.kind.low) / self.kind.step), 0, most)
            numbers = self.kind.low + steps * self.kind.step
        found: Array = np.clip(numbers, self.kind.low, self.kind.high)
        return found

    def _scaled(self, numbers: Array) -> Array:
        return np.log(numbers) if self.kind.log else numbers

    @property
    def _ends(self) -> Array:
        return self._scaled(np.array([self.kind.low, self.kind.high], dtype=float))


class Rows:
    """Converts points of a space, by axis, to rows and back; draws and changes rows."""

    def __init__(self, space: SearchSpace) -> None:
        """Takes any space but an open one."""
        self._space = space
        self._kinds = tuple(space.axes.values())
        self.names = tuple(space.axes)
        widths = [len(kind.choices) if isinstance(kind, Categorical) else 1 for kind in self._kinds]
        self.features = Features(np.repeat(np.arange(len(widths)), widths))
        self._first = np.cumsum([0, *widths[:-1]])

    def encode(self, drawn: Params) -> Array:
        """The row of a point."""
        return np.array([_position(kind, drawn[n]) if n in drawn else math.nan for n, kind in self._axes])

    def decode(self, row: Array) -> dict[str, Value]:
        """The point that a row stands for, without what is inactive."""
        pairs = zip(self._axes, row, strict=True)
        return {name: _value(kind, place) for (name, kind), place in pairs if not math.isnan(place)}

    def params(self, row: Array) -> dict[str, Value]:
        """The point that a row stands for, by parameter."""
        drawn = self.decode(row)
        return self._space.build(lambda name, _: drawn[name])

    def columns(self, rows: Array) -> Array:
        """What the model sees: a number as it is, a choice as a column of its own. Two choices are 1 apart."""
        found = np.zeros((len(rows), len(self.features.owner)))
        for index, kind in enumerate(self._kinds):
            first = self._first[index]
            if isinstance(kind, Categorical):
                for choice in range(len(kind.choices)):
                    found[rows[:, index] == choice, first + choice] = math.sqrt(0.5)
            else:
                found[:, first] = np.where(np.isnan(rows[:, index]), _IMPUTED, rows[:, index])
        return found

    def at_random(self, rng: np.random.Generator, count: int) -> Array:
        """Rows, drawn evenly; constraints between parameters are not looked at."""
        return self._settled(self._drawn(rng, count))

    def near(self, rows: Array, rng: np.random.Generator, share: float, deviation: float) -> Array:
        """Each row with about ``share`` of its axes changed, at least one, by a normal ``deviation`` of the range.

        What is inactive in a row is drawn anew, in case that it becomes active.
        """
        fresh = self._drawn(rng, len(rows))
        changed = rng.random(rows.shape) < share
        changed[np.arange(len(rows)), rng.integers(rows.shape[1], size=len(rows))] = True
        found = np.where(np.isnan(rows), fresh, rows)
        for index, kind in enumerate(self._kinds):
            mask = changed[:, index] & ~np.isnan(rows[:, index])
            if isinstance(kind, Categorical):
                found[mask, index] = fresh[mask, index]
            else:
                shifts = rng.normal(0.0, deviation, int(mask.sum()))
                least = 0.6 * _Range(kind).width  # or most changes of a coarse range would be none
                found[mask, index] += np.where(np.abs(shifts) < least, np.copysign(least, shifts), shifts)
        return self._settled(found)

    def _drawn(self, rng: np.random.Generator, count: int) -> Array:
        return np.column_stack([_draw(kind, rng, count) for kind in self._kinds])

    @property
    def _axes(self) -> list[tuple[str, Distribution]]:
        return list(zip(self.names, self._kinds, strict=True))

    def _settled(self, rows: Array) -> Array:
        """Rounded as the ranges ask for, and without what is inactive."""
        rows = rows.copy()
        for index, kind in enumerate(self._kinds):
            if not isinstance(kind, Categorical):
                axis = _Range(kind)
                rows[:, index] = axis.positions(axis.numbers(rows[:, index]))
        known: dict[str, NDArray[np.bool_]] = {}
        for index, name in enumerate(self.names):
            rows[~self._active(name, rows, known), index] = math.nan
        return rows

    def _active(self, name: str, rows: Array, known: dict[str, NDArray[np.bool_]]) -> NDArray[np.bool_]:
        """In which rows a parameter, or a constant, is active."""
        if name not in known:
            found = np.ones(len(rows), dtype=bool)
            for parent, values in self._space.conditions.get(name, {}).items():
                found &= self._active(parent, rows, known) & self._is_among(parent, values, rows)
            known[name] = found
        return known[name]

    def _is_among(self, parent: str, values: tuple[Value, ...], rows: Array) -> NDArray[np.bool_]:
        """In which rows a parameter, if it is active, has one of ``values``."""
        parameter = self._space.parameters.get(parent)
        if isinstance(parameter, Constant):
            return np.full(len(rows), is_among(parameter.value, values))
        if isinstance(parameter, (Int, Float)):
            index = self.names.index(parent)
            return np.isin(
                _Range(parameter).numbers(rows[:, index]), [float(str(v)) for v in values if parameter.contains(v)]
            )
        if isinstance(parameter, Categorical):
            index, matches = self.names.index(parent), [is_among(c, values) for c in parameter.choices]
        else:
            owner = next(each for each in self._space.combinations if parent in each.parameters)
            index = self.names.index(owner.name)
            matches = [parent in choice and is_among(choice[parent], values) for choice in owner.choices]
        return np.isin(rows[:, index], np.flatnonzero(matches))


def _position(kind: Distribution, value: Value) -> float:
    if isinstance(kind, Categorical):
        return float(next(index for index, choice in enumerate(kind.choices) if is_among(value, (choice,))))
    return float(_Range(kind).positions(np.array([value], dtype=float))[0])


def _value(kind: Distribution, position: float) -> Value:
    if isinstance(kind, Categorical):
        return kind.choices[int(position)]
    number = float(_Range(kind).numbers(np.array([position]))[0])
    return round(number) if isinstance(kind, Int) else number


def _draw(kind: Distribution, rng: np.random.Generator, count: int) -> Array:
    if isinstance(kind, Categorical):
        return rng.integers(len(kind.choices), size=count).astype(float)
    half = 0.0 if kind.log else 0.5 * _Range(kind).width  # so that the ends of a coarse range are as likely as others
    return rng.uniform(-half, 1.0 + half, count)
