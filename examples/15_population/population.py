"""Population-based training: members train a while, the worse half goes on from the better half's checkpoints.

    python examples/15_population/population.py

Jaderberg et al., "Population Based Training of Neural Networks" (2017). Each generation is a study whose points are all
given; ``continue_from`` is one of their parameters.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clearml_hpo import Study

MEMBERS, GENERATIONS, ITERATIONS = 6, 4, 15
RANGES = {"learning_rate": (0.02, 0.5), "subsample": (0.4, 1.0), "colsample_bytree": (0.2, 1.0)}
RANDOM = random.Random(1)


def main() -> None:
    """Trains the generations one after the other, and prints the best member of the last one."""
    points = [{name: RANDOM.uniform(*bounds) for name, bounds in RANGES.items()} for _ in range(MEMBERS - 1)]
    study = train(0, points)
    for generation in range(1, GENERATIONS):
        completed = [trial for trial in study.trials if trial.value is not None]
        better = sorted(completed, key=lambda trial: trial.value)[: MEMBERS // 2]
        kept = [{**values_of(trial), "continue_from": trial.task_id} for trial in better]
        study = train(generation, [*kept, *map(changed, kept)])  # exploit, and explore
    print(f"best: {study.best.value:.4f} after {GENERATIONS * ITERATIONS} iterations, {values_of(study.best)}")


def train(generation: int, points: Sequence[Mapping[str, Any]]) -> Study:
    """A generation: ``points``, and the template's own values as a newcomer, which trains from the beginning."""
    space: dict[str, Any] = {name: {"type": "float", "low": low, "high": high} for name, (low, high) in RANGES.items()}
    checkpoints = sorted({point["continue_from"] for point in points if "continue_from" in point})
    study = Study.create(
        f"population-{generation}",
        template=Path(__file__).parents[2] / "templates" / "xgboost_train.py",
        search_space={
            **space,
            "continue_from": {"type": "categorical", "choices": ["", *checkpoints]},
            "iterations": ITERATIONS * (generation + 1),
            "save_checkpoint": True,
            **{"data": "digits", "metrics": "logloss", "early_stopping_rounds": 0},
            **{"upload_model": False, "upload_predictions": False},
        },
        objective="validation/logloss",
        direction="minimize",
        enqueue=[{"continue_from": "", **point} for point in points],
        trials=len(points) + 1,
        pruner="none",
        project="clearml-hpo/examples",
    )
    return study.run(local=True, cpu=2, new=True)


def values_of(trial: Any) -> dict[str, float]:
    """What varies of a trial's parameters, by bare names."""
    return {name: trial.params[f"General/{name}"] for name in RANGES}


def changed(point: Mapping[str, Any]) -> dict[str, Any]:
    """The same checkpoint with other values: each a little more or less."""
    new = {name: point[name] * RANDOM.choice((0.8, 1.25)) for name in RANGES}
    clipped = {name: min(max(value, RANGES[name][0]), RANGES[name][1]) for name, value in new.items()}
    return {**point, **clipped}


if __name__ == "__main__":
    main()
