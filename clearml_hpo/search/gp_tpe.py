"""The sampler ``gp_tpe``: a Gaussian process, TPE and small changes of the best points take turns.

The Gaussian process learns quickest where few trials have ended. TPE and small changes get over its errors, over noise,
and over objectives that jump from point to point. Nothing is kept but what the trials say, so a study that goes on in
another process knows the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from heapq import nlargest
from statistics import median_low
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from clearml_hpo.search import gaussian_process as gp
from clearml_hpo.search.distributions import as_optuna
from clearml_hpo.search.gaussian_process import Array, Surface
from clearml_hpo.search.rows import Rows
from clearml_hpo.search.space import SearchSpace

_GROWTH = 1.2  # lengths and noise are fitted again after so much growth
_MOST_TRIALS = 400  # that the Gaussian process looks at: half of them the best, half the last; running ones, too
_RANDOM, _BEST, _MUTANTS = 500, 8, 12  # points that are looked at, those that go on, and the changes of each
_DEVIATIONS = (0.2, 0.1, 0.05, 0.02, 0.005)  # of these changes, round by round
_SHARE_CHANGED = 0.3
_MOST_DRAWS = 1_000  # until a random start keeps the constraints
_TPE_EVERY = 4  # trials; benchmarks/README.md has what other shares gave
_SMALL_FROM, _SMALL_SHARE = 20, 0.35  # ended trials before small changes, and their share of the other turns
_SMALLEST, _LARGEST = 0.005, 0.1  # deviation of a small change, as a part of the range
_ALIKE = 0.05  # spread of the logarithms of durations below which all trials take as long
_SMALL_DRAWS = 100  # until a small change is one that was not tried

# The user attribute of an Optuna trial that holds how many seconds it ran.
SECONDS = "seconds"


class _Theta:
    """Lengths, height and noise of a Gaussian process, fitted again as what it knows grows."""

    def __init__(self) -> None:
        self._theta: Array | None = None
        self._fitted_at = 0

    def fitted(self, space: Rows, rows: Array, y: Array) -> Array:
        """Those for values at rows, in the model's columns."""
        if self._theta is None or len(y) >= _GROWTH * self._fitted_at:
            starts = [gp.prior(space.features.count)[0], *([] if self._theta is None else [self._theta])]
            self._theta = gp.fit(space.features, rows, y, starts)
            self._fitted_at = len(y)
        return self._theta


class GpTpeSampler(BaseSampler):
    """Proposes every fourth point by TPE, the others by a Gaussian process or, one in three, beside the best ones.

    A failed trial counts as worse than all others, as one does that breaks a constraint on a metric. A pruned one
    counts by its last value, though never among the better half. A trial that runs counts as if it had ended as
    expected, which keeps parallel trials apart.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        n_startup_trials: int = 3,
        per_second: bool = False,
        seed: int | None = None,
        constraints_func: Callable[[FrozenTrial], Sequence[float]] | None = None,
    ) -> None:
        """``space`` is no open one, and the study has one objective.

        Args:
            per_second: whether the Gaussian process weighs what a point promises by how long its trial will take, as
                a second Gaussian process expects (Snoek, Larochelle, Adams 2012: expected improvement per second).
            n_startup_trials: how many trials must have ended before anything is learned from them.
        """
        conditional = space.is_conditional
        self._tpe = TPESampler(
            n_startup_trials=n_startup_trials,
            multivariate=True,
            group=conditional,
            constant_liar=True,
            seed=seed,
            constraints_func=constraints_func,
        )
        self._space, self._rows, self._startup = space, Rows(space), n_startup_trials
        self._distributions: dict[str, BaseDistribution] = {n: as_optuna(kind) for n, kind in space.axes.items()}
        self._constraints = constraints_func
        self._seed = int(np.random.default_rng(seed).integers(2**32))
        self._seen: dict[int, Array | None] = {}
        self._keys: dict[int, bytes] = {}
        self._ranked_numbers: tuple[int, ...] = ()
        self._ranks: Sequence[tuple[FrozenTrial, float]] = ()
        self._values, self._times = _Theta(), _Theta()
        self._per_second = per_second

    # --- what Optuna calls -------------------------------------------------------------------------------------------

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All axes if the turn is this sampler's own, else those of TPE."""
        ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        if len(ended) < self._startup or trial.number % _TPE_EVERY < _TPE_EVERY - 1:
            return self._distributions
        return self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A point by axis, without what is inactive in it."""
        if search_space is not self._distributions:
            return self._tpe.sample_relative(study, trial, search_space)
        rng = np.random.default_rng((self._seed, trial.number))
        others = [each for each in study.get_trials(deepcopy=False) if each.number != trial.number and self._fits(each)]
        with gp.one_thread():
            return self._rows.decode(self._next(study, others, rng))

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """What TPE draws alone."""
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Passes it on to TPE."""
        self._tpe.before_trial(study, trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Passes it on to TPE."""
        self._tpe.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Another process draws other points."""
        self._tpe.reseed_rng()
        self._seed = int(np.random.default_rng().integers(2**32))

    # --- the next point ----------------------------------------------------------------------------------------------

    def _next(self, study: optuna.Study, others: Sequence[FrozenTrial], rng: np.random.Generator) -> Array:
        ended = [each for each in others if each.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        if len(ended) < self._startup:
            return self._start(rng)
        running = [each for each in others if each.state == TrialState.RUNNING]
        taken = {self._keys[each.number] for each in (*ended, *running)}
        failed = [each for each in others if each.state == TrialState.FAIL and self._counts(each, taken)]
        numbers = tuple(each.number for each in ended)
        if numbers != self._ranked_numbers:  # many asks may come between two ends
            self._ranked_numbers, self._ranks = numbers, self._ranked(ended, study.direction)
        ranked = self._ranks
        if len(ended) >= _SMALL_FROM and rng.random() < _SMALL_SHARE:
            changed = self._beside([each for each, _ in ranked], taken, rng)
            if changed is not None:
                return changed
        rows, y = self._learned(ranked, failed)
        surface = gp.condition(self._rows.features, rows, y, self._values.fitted(self._rows, rows, y))
        if running:
            newest = running[-_MOST_TRIALS:]
            surface = surface.believe(self._rows.columns(np.array([self._row(each) for each in newest])))
        best = [self._row(each) for each, _ in ranked[:_BEST]]
        durations = self._durations(ended) if self._per_second else None
        found = self._search(surface, durations, np.array(best), taken, rng)
        return self._start(rng) if found is None else found

    def _start(self, rng: np.random.Generator) -> Array:
        """A point at random; if none is found that keeps the constraints, the learner finds one or says so."""
        row: Array
        for row in (self._rows.at_random(rng, 1)[0] for _ in range(_MOST_DRAWS)):
            if self._allows(row):
                break
        return row

    def _beside(self, ranked: Sequence[FrozenTrial], taken: set[bytes], rng: np.random.Generator) -> Array | None:
        """A small change of the best point half of the time, of the second best a quarter of it, and so on."""
        for _ in range(_SMALL_DRAWS):
            place = min(int(rng.geometric(0.5)), len(ranked)) - 1
            deviation = math.exp(rng.uniform(math.log(_SMALLEST), math.log(_LARGEST)))
            row: Array = self._rows.near(self._row(ranked[place])[None, :], rng, _SHARE_CHANGED, deviation)[0]
            if self._allows(row) and _key(row) not in taken:
                return row
        return None

    def _counts(self, failed: FrozenTrial, taken: set[bytes]) -> bool:
        """Whether a failure says something about its point; what was refused before it ran is told as failed, too."""
        return self._keys[failed.number] not in taken and self._allows(self._row(failed))

    def _ranked(self, ended: Sequence[FrozenTrial], direction: StudyDirection) -> list[tuple[FrozenTrial, float]]:
        """Trials with the values that are to be small, the best first; infinite where a value is missing or bad."""
        sign = -1.0 if direction == StudyDirection.MAXIMIZE else 1.0
        found = []
        for each in ended:
            broken = sum(max(0.0, v) for v in self._constraints(each)) if self._constraints else 0.0
            value = sign * each.value if each.value is not None and not broken else math.inf
            found.append((each.state == TrialState.PRUNED, broken, value, each))
        kept = [value for pruned, _, value, _ in found if not pruned and value < math.inf]
        middle = median_low(kept) if kept else math.inf
        found.sort(key=lambda row: (row[1], max(row[2], middle) if row[0] else row[2]))
        return [(each, max(value, middle) if pruned else value) for pruned, _, value, each in found]

    def _learned(
        self, ranked: Sequence[tuple[FrozenTrial, float]], failed: Sequence[FrozenTrial]
    ) -> tuple[Array, Array]:
        """What the Gaussian process learns from: points and values."""
        if len(ranked) > _MOST_TRIALS:
            half = _MOST_TRIALS // 2
            last = {*nlargest(half, (each.number for each, _ in ranked))}
            ranked = [pair for index, pair in enumerate(ranked) if index < half or pair[0].number in last]
        values = np.array([value for _, value in ranked if value < math.inf])
        trials = [each for each, _ in ranked] + list(failed[-_MOST_TRIALS // 4 :])
        rows = self._rows.columns(np.array([self._row(each) for each in trials]))
        if not len(values):
            return rows, np.zeros(len(trials))
        return rows, gp.half_ranked(values, len(trials) - len(values))

    def _durations(self, ended: Sequence[FrozenTrial]) -> Callable[[Array], Array] | None:
        """The expected logarithm of the seconds of each row's trial; None if all take as long, or that is not known."""
        complete = [each for each in ended if each.state == TrialState.COMPLETE]
        timed = [each for each in complete if (each.user_attrs.get(SECONDS) or 0) > 0][-_MOST_TRIALS:]
        if len(timed) < self._startup:
            return None
        logs = np.log([float(each.user_attrs[SECONDS]) for each in timed])
        spread = float(logs.std())
        if spread < _ALIKE:
            return None
        rows = self._rows.columns(np.array([self._row(each) for each in timed]))
        y = (logs - logs.mean()) / spread
        surface = gp.condition(self._rows.features, rows, y, self._times.fitted(self._rows, rows, y))
        return lambda asked: spread * surface.predict(self._rows.columns(asked))[0]

    def _search(
        self,
        surface: Surface,
        durations: Callable[[Array], Array] | None,
        best: Array,
        taken: set[bytes],
        rng: np.random.Generator,
    ) -> Array | None:
        """The point that promises most, per second if ``durations`` are known; None if all looked at are taken."""
        lowest = float(surface.predict(surface.x)[0].min())

        def scores(rows: Array) -> Array:
            mean, deviation = surface.predict(self._rows.columns(rows))
            gain = gp.log_expected_improvement(mean, np.sqrt(deviation**2 + surface.noise), lowest)
            return gain if durations is None else gain - durations(rows)

        def leading(rows: Array) -> Array:
            found: list[Array] = []
            seen: set[bytes] = set()
            for index in np.argsort(-scores(rows), kind="stable"):
                row = rows[index]
                if _key(row) not in seen and _key(row) not in taken and self._allows(row):
                    found.append(row)
                    seen.add(_key(row))
                if len(found) == _BEST:
                    break
            return np.array(found).reshape(-1, rows.shape[1])

        around = self._rows.near(np.repeat(best, _MUTANTS, axis=0), rng, _SHARE_CHANGED, _DEVIATIONS[0])
        found = leading(np.vstack([self._rows.at_random(rng, _RANDOM), around]))
        for deviation in _DEVIATIONS:
            if len(found):
                mutants = self._rows.near(np.repeat(found, _MUTANTS, axis=0), rng, _SHARE_CHANGED, deviation)
                found = leading(np.vstack([found, mutants]))
        return found[0] if len(found) else None

    def _fits(self, trial: FrozenTrial) -> bool:
        """Whether a trial is a point of the space; its row and its key are kept."""
        if trial.number not in self._seen:
            axes = self._space.axes
            fits = bool(trial.params) and all(n in axes and axes[n].contains(v) for n, v in trial.params.items())
            self._seen[trial.number] = row = self._rows.encode(trial.params) if fits else None
            if row is not None:
                self._keys[trial.number] = _key(row)
        return self._seen[trial.number] is not None

    def _row(self, trial: FrozenTrial) -> Array:
        row = self._seen[trial.number]
        assert row is not None
        return row

    def _allows(self, row: Array) -> bool:
        return not self._space.constraints or self._space.allows(self._rows.params(row))


def _key(row: Array) -> bytes:
    return np.round(row, 9).tobytes()
