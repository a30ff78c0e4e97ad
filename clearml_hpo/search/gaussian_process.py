"""A Gaussian process in NumPy and SciPy: what is known of the objective at points that nobody has tried.

The kernel is Matern 5/2 with a length for each parameter. Lengths, height and noise are those that the values make most
likely, with a mild prior (Hvarfner, Hellsten, Nardi 2024: lengths grow with the root of the number of parameters).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

Array: TypeAlias = NDArray[np.float64]

_LEAST_NOISE = 1e-5  # of a variance of 1; less and the matrix may have no Cholesky factor
_LENGTH = 0.2  # what the prior expects, times the root of the number of parameters; ranges are 1 long
_LENGTH_SPREAD = math.sqrt(3.0)  # of logarithms, as the next two
_HEIGHT_SPREAD = 1.0
_NOISE, _NOISE_SPREAD = 0.007, 1.0
_MOST_ITERATIONS = 40
_FAR = 1_000.0  # standard deviations; beyond them the expected improvement has a simple limit


@dataclass(frozen=True)
class Features:
    """Points as columns of numbers.

    Attributes:
        owner: which parameter each column belongs to; columns of one parameter share its length.
    """

    owner: NDArray[np.intp]

    @property
    def count(self) -> int:
        """How many parameters there are."""
        return int(self.owner.max(initial=-1)) + 1


@dataclass(frozen=True)
class Surface:
    """A Gaussian process that has learned from values.

    Attributes:
        x: the points, one a row.
        theta: the logarithms of the lengths, the height (a variance) and the noise (a variance).
    """

    features: Features
    x: Array
    y: Array
    theta: Array
    _factor: Array
    _weights: Array

    @property
    def noise(self) -> float:
        """The variance of a value around what is expected: noise, or jumps that no smooth surface has."""
        return math.exp(self.theta[-1])

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation, without noise, at each row of ``x``."""
        from scipy.linalg import solve_triangular

        across = _kernel(self.features, self.theta, x, self.x)
        half = solve_triangular(self._factor, across.T, lower=True, check_finite=False)
        variance = math.exp(self.theta[-2]) - np.einsum("ij,ij->j", half, half)
        return across @ self._weights, np.sqrt(np.maximum(variance, 1e-12))

    def believe(self, x: Array) -> Surface:
        """The same, once what is expected at each row of ``x`` has been seen there."""
        if not len(x):
            return self
        y = np.concatenate([self.y, self.predict(x)[0]])
        return condition(self.features, np.vstack([self.x, x]), y, self.theta)


def one_thread() -> AbstractContextManager[Any]:
    """Within it matrices are calculated by one thread: where trials use the cores, several wait for each other."""
    limited: AbstractContextManager[Any] = _libraries().limit(limits=1, user_api="blas")
    return limited


@functools.cache
def _libraries() -> ThreadpoolController:
    import scipy.linalg  # noqa: F401  # it brings a library of its own
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def condition(features: Features, x: Array, y: Array, theta: Array) -> Surface:
    """What is known if the values at ``x`` are ``y`` and ``theta`` are the logarithms of lengths, height and noise."""
    from scipy.linalg import cho_solve

    matrix = _kernel(features, theta, x, x)
    matrix[np.diag_indices_from(matrix)] += math.exp(theta[-1])
    factor: Array = np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)
    return Surface(features, x, y, theta, factor, cho_solve((factor, True), y, check_finite=False))


def fit(features: Features, x: Array, y: Array, starts: Sequence[Array] = ()) -> Array:
    """The most likely ``theta`` for values of mean 0 and variance 1; searched from the prior, and from ``starts``."""
    from scipy.optimize import minimize

    apart = _squares_by_parameter(features, x)
    length = math.log(_LENGTH) + 0.5 * math.log(features.count)
    bounds = [*[(length - 4.0, length + 6.0)] * features.count, (-4.0, 4.0), (math.log(_LEAST_NOISE), 0.5)]
    found = [
        minimize(
            loss, start, (apart, y), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _MOST_ITERATIONS}
        )
        for start in starts or [prior(features.count)[0]]
    ]
    best: Array = min(found, key=lambda each: float(each.fun)).x
    return best


def prior(parameters: int) -> tuple[Array, Array]:
    """The expected theta, and how far it may be from that."""
    length = math.log(_LENGTH) + 0.5 * math.log(parameters)
    expected = np.array([*[length] * parameters, 0.0, math.log(_NOISE)])
    return expected, np.array([*[_LENGTH_SPREAD] * parameters, _HEIGHT_SPREAD, _NOISE_SPREAD])


def loss(theta: Array, apart: Array, y: Array) -> tuple[float, Array]:
    """Minus the logarithm of the likelihood times the prior, and its gradient.

    Args:
        apart: squared distances, by parameter and pair of points.
    """
    from scipy.linalg import lapack

    count, size = len(apart), len(y)
    inverse_squares = np.exp(-2 * theta[:count])
    height, noise = math.exp(theta[-2]), math.exp(theta[-1])
    root = np.sqrt(5.0 * (inverse_squares @ apart.reshape(count, -1)).reshape(size, size))
    decay = height * np.exp(-root)
    matrix = (1.0 + root + root**2 / 3.0) * decay
    signal = matrix.copy()
    matrix[np.diag_indices(size)] += noise
    factor = np.linalg.cholesky(matrix)
    inverse, _ = lapack.dpotri(factor, lower=1)
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    weights = inverse @ y
    expected, spread = prior(count)
    away = (theta - expected) / spread
    value = 0.5 * float(y @ weights) + float(np.log(np.diag(factor)).sum()) + 0.5 * float(away @ away)
    half = 0.5 * (inverse - np.outer(weights, weights))
    slope = (half * (5.0 / 3.0) * (1.0 + root) * decay).ravel()
    lengths = inverse_squares * (apart.reshape(count, -1) @ slope)
    gradient = np.array([*lengths, float((half * signal).sum()), noise * float(np.trace(half))])
    return value, gradient + away / spread


def _squares_by_parameter(features: Features, x: Array) -> Array:
    apart = np.zeros((features.count, len(x), len(x)))
    for column, owner in enumerate(features.owner):
        apart[owner] += (x[:, None, column] - x[None, :, column]) ** 2
    return apart


def _kernel(features: Features, theta: Array, x: Array, other: Array) -> Array:
    inverse = np.exp(-theta[:-2])[features.owner]
    a, b = x * inverse, other * inverse
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T
    root = np.sqrt(5.0 * np.maximum(squares, 0.0))
    found: Array = math.exp(theta[-2]) * (1.0 + root + root**2 / 3.0) * np.exp(-root)
    return found


def log_expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """The logarithm of by how much a point is expected to be below ``best``."""
    from scipy.special import erfcx, ndtr

    z = (best - mean) / deviation
    density = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
    near = np.minimum(np.maximum(z, -_FAR), 0.0)
    tail = np.log1p(near * math.sqrt(math.pi / 2) * erfcx(-near / math.sqrt(2)))
    ahead = np.maximum(z, 0.0)
    above = np.log(np.exp(-0.5 * ahead**2) / math.sqrt(2 * math.pi) + ahead * ndtr(ahead))
    below = density + np.where(z < -_FAR, -2 * np.log(np.maximum(-z, 1.0)), tail)
    found: Array = np.where(z > 0, above, below) + np.log(deviation)
    return found


def half_ranked(values: Array, others: int) -> Array:
    """Values, the smaller the better, as a Gaussian process takes them: mean about 0, variance about 1.

    The better half keeps its distances. Of the worse half only the order counts, so that a diverged training does
    not hide the differences between good ones (as in Song et al. 2024, Google Vizier).

    Args:
        others: how many trials, worse than all, have no value; they follow at the end of the result.
    """
    from scipy.special import ndtri

    halves = values / 2  # so that no difference is too large for a float
    middle = float(np.median(halves))
    good = halves <= middle
    apart = halves[good] - middle
    largest = float(np.abs(apart).max())
    if largest > 0:
        apart /= largest
        apart /= math.sqrt(float(np.mean(apart**2)))
    found = np.zeros(len(values) + others)
    found[: len(values)][good] = apart
    worse = np.argsort(values[~good], kind="stable")
    order = np.concatenate([np.flatnonzero(~good)[worse], np.arange(len(values), len(found))]).astype(int)
    if len(order):
        found[order] = ndtri(0.5 + 0.5 * (np.arange(len(order)) + 0.5) / len(order))
    found -= found.mean()
    deviation = float(found.std())
    return found / deviation if deviation > 0 else found
