"""The figures of a study, by name: made when a page asks for them, and kept until a trial ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.scalars import curves_of, metrics_of
from clearml_hpo.backend.trial_tasks import histories_of
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.trial import Trial
from clearml_hpo.dashboard.seen import Seen
from clearml_hpo.report import figures, trials_with_curves
from clearml_hpo.search.importances import importances_of_all
from clearml_hpo.search.space import SearchSpace

_Draw: TypeAlias = Callable[[Seen, tuple[str, str]], str]

MOST_COMPARED = 12
EMPTY = '{"data":[],"layout":{}}'


@dataclass(frozen=True)
class Plot:
    """A figure that a page may ask for.

    Attributes:
        title: above it.
        draw: its JSON text, empty if there is nothing to show; ``pair`` are the two parameters that a user has chosen.
        has_pair: whether a user chooses two parameters for it.
        follows: whether it changes with every reading, not only when a trial ends.
    """

    title: str
    draw: _Draw
    has_pair: bool = False
    follows: bool = False


def plots_of(goal: Goal, space: SearchSpace) -> Mapping[str, Plot]:
    """The figures that a study has, in the order of its page."""
    found = {f"history-{i}": Plot(f"History: {o.metric}", _history(i)) for i, o in enumerate(goal.objectives)}
    if not goal.is_single:
        found["front"] = Plot("Pareto front", lambda s, _: figures.front_figure(_ended(s), s.goal))
        found["hypervolume"] = Plot("Hypervolume", lambda s, _: figures.hypervolume_figure(_ended(s), s.goal))
    found["importances"] = Plot("Importances", _importances)
    found["slices"] = Plot("Slices", _slices)
    if len(space.distributions) > 1:
        found["contour"] = Plot("Contour", _of_two(figures.contour_figure), has_pair=True)
        found["rank"] = Plot("Rank", _of_two(figures.rank_figure), has_pair=True)
    found["edf"] = Plot("Distribution of values", lambda s, _: figures.edf_figure(_ended(s), s.goal))
    model = figures.model_parameter(space)
    if model is not None:
        found["models"] = Plot(
            f"Compared by {model}",
            lambda s, _: figures.comparison_figure(figures.by_model(_ended(s), model), s.goal.objectives[0], 0),
        )
    if goal.pruning_objective is not None:
        found["curves"] = Plot("Intermediate values", _curves)
    found["timeline"] = Plot(
        "Resource use over time",
        lambda s, _: figures.timeline_figure([*s.earlier, *s.trials], s.at),
        follows=True,
    )
    return found


def _history(index: int) -> _Draw:
    return lambda seen, _: figures.history_figure(_ended(seen), seen.goal, index)


def _of_two(draw: Callable[..., str]) -> _Draw:
    return lambda seen, pair: draw(_ended(seen), seen.goal, seen.space.distributions, pair)


def compared(api: Api, seen: Seen, numbers: Collection[int], metric: str) -> Mapping[str, Any]:
    """Curves of a few trials, in two calls.

    Args:
        numbers: which trials.
        metric: ``title/series``; another one than they have reported stands for the one that the pruner looks at.

    Returns:
        ``metrics`` to choose from, the ``metric`` that is shown, and the ``figure`` as JSON text.
    """
    trials = [trial for trial in seen.trials if trial.number in numbers][:MOST_COMPARED]
    tasks = [trial.task_id for trial in trials]
    metrics = metrics_of(api, tasks)
    usual = [seen.goal.pruning_objective, *seen.goal.objectives]
    wanted = [metric, *(each.metric for each in usual if each is not None), *metrics]
    shown = next((each for each in wanted if each in metrics), "")
    histories = curves_of(api, Objective.parse(shown), tasks) if shown else {}
    figure = figures.curves_figure(trials, shown, histories, most=MOST_COMPARED)
    return {"metrics": metrics, "metric": shown, "figure": figure or EMPTY}


class PlotCache:
    """The figures of one study that were made since a trial has last ended."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, tuple[str, str]], tuple[int, str]] = {}
        self._making = threading.Lock()  # one at a time: several browsers ask for the same

    def figure(self, name: str, seen: Seen, pair: tuple[str, str] = ("", "")) -> str:
        """The JSON text of a figure.

        Raises:
            KeyError: the study has no such figure, or no such parameters.
        """
        plot = plots_of(seen.goal, seen.space)[name]
        if plot.has_pair and not {*pair} <= seen.space.distributions.keys():
            raise KeyError(pair)
        pair = pair if plot.has_pair else ("", "")
        at = seen.version if plot.follows and not seen.look.is_over else seen.plotted
        with self._making:
            made = self._made.get((name, pair))
            if made is None or made[0] != at:
                self._made[name, pair] = made = at, plot.draw(seen, pair) or EMPTY
            return made[1]


def _ended(seen: Seen) -> Sequence[Trial]:
    return [trial for trial in seen.trials if not trial.state.is_live]


def _importances(seen: Seen, _: object) -> str:
    ended = _ended(seen)
    return figures.importance_figure(importances_of_all(ended, seen.space, seen.goal), seen.goal)


def _slices(seen: Seen, _: object) -> str:
    ended = _ended(seen)
    shares = importances_of_all(ended, seen.space, seen.goal)
    return figures.slice_figure(ended, seen.goal, seen.space.distributions, *shares[:1])


def _curves(seen: Seen, _: object) -> str:
    objective = seen.goal.pruning_objective
    shown = trials_with_curves(seen.trials, seen.goal)
    if objective is None or not shown:
        return ""
    return figures.intermediate_figure(
        shown, objective, histories_of(Api(), seen.goal, [trial.task_id for trial in shown])
    )
