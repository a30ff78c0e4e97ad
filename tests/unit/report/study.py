"""Studies to draw."""

from __future__ import annotations

import math
import random

from clearml_hpo.core.goal import Goal, MetricConstraint, Objective
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.search.space import Categorical, Float, Int, SearchSpace

LOSS = Goal((Objective("validation", "loss"),))
TWO = Goal((Objective("validation", "loss"), Objective("speed", "rows/s", "maximize")))
BOUND = Goal(LOSS.objectives, (MetricConstraint("latency", "p95", high=1.0),))
SPACE = SearchSpace(
    {
        "General/x": Float(0.0, 1.0),
        "General/rate": Float(1e-5, 1.0, log=True),
        "General/depth": Int(1, 8),
        "General/booster": Categorical(("tree", "linear")),
        "General/leaves": Int(2, 512, log=True),
    },
    conditions={"General/leaves": {"General/booster": ("tree",)}},
)


def trial(number, value=None, state=TrialState.COMPLETED, params=None, **fields):
    values = value if isinstance(value, tuple) else () if value is None else (value,)
    fields = {"queued_at": 0.0, "started_at": 1.5, "ended_at": 4.0, **fields}
    return Trial(number, params or {"General/x": number / 10}, f"task-{number}", state=state, values=values, **fields)


def study(count, objectives=1, seed=0):
    """A study of every kind of end in which ``rate`` matters most, then ``x``, and nothing else."""
    chance = random.Random(seed)
    others = [TrialState.PRUNED, TrialState.FAILED, TrialState.LOST, TrialState.NOT_FINITE, TrialState.ABORTED]
    trials = []
    for number in range(count):
        params = {
            "General/x": chance.random(),
            "General/rate": 10 ** chance.uniform(-5, 0),
            "General/depth": chance.randint(1, 8),
            "General/booster": chance.choice(["tree", "linear"]),
        }
        if params["General/booster"] == "tree":
            params["General/leaves"] = chance.randint(2, 512)
        loss = abs(math.log10(params["General/rate"]) + 2) + 0.5 * (params["General/x"] - 0.3) ** 2
        values = (loss, params["General/depth"] + chance.random(), chance.random(), chance.random())[:objectives]
        state = others[number % 5] if number % 7 == 3 else TrialState.COMPLETED
        start = 10.0 * (number // 4)
        trials.append(
            Trial(
                number,
                params,
                f"{number:032x}",
                state=state,
                values=(math.nan,) * objectives if state is TrialState.NOT_FINITE else values,
                iteration=10,
                queue="gpu",
                worker=f"host:gpu{number % 4}",
                queued_at=start - 5,
                started_at=start,
                ended_at=start + 9,
                reason="no such file" if state is TrialState.FAILED else "",
            )
        )
    return trials
