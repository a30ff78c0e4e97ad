"""Importances are Optuna's, and are had without what its other evaluators load."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest

from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.search.importances import importances
from clearml_hpo.search.space import Float, SearchSpace

SPACE = SearchSpace({"General/x": Float(0, 1), "General/y": Float(0, 1)})
GOAL = Goal((Objective("validation", "loss"),))


def trials():
    draw = random.Random(1)
    points = [{name: draw.random() for name in SPACE.distributions} for _ in range(50)]
    values = [point["General/x"] ** 2 + 0.1 * point["General/y"] for point in points]
    return [
        Trial(number, point, f"task{number}", state=TrialState.COMPLETED, values=(value,))
        for number, (point, value) in enumerate(zip(points, values, strict=True))
    ]


def test_what_decides_has_the_larger_share():
    found = importances(trials(), SPACE, GOAL)
    assert list(found) == ["General/x", "General/y"] and found["General/x"] > 0.8
    assert sum(found.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("before", ["", "import sklearn; ", "import optuna.importance; "])
def test_scikit_learn_is_not_loaded_and_can_be_loaded_later(before):
    code = before + (
        "import json, sys; from tests.unit.search.test_importances import *; "
        "found = importances(trials(), SPACE, GOAL);"
        "loaded = [name for name in ('sklearn', 'pandas') if name in sys.modules];"
        "import optuna; optuna.importance.FanovaImportanceEvaluator(); import sklearn.ensemble;"
        "print(json.dumps([found, loaded]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    found, loaded = json.loads(done.stdout)
    assert found == importances(trials(), SPACE, GOAL)
    assert bool(loaded) == bool(before)
