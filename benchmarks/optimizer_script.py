"""A script as ClearML's manual has it, for any of the optimizer classes.

python optimizer_script.py OPTIMIZER STRATEGY TEMPLATE_TASK_ID QUEUE TRIALS POLL_S [CONCURRENT [RANGES]]

POLL_S may be ``default``. RANGES is JSON: a class of ``clearml.automation`` and its arguments, for each parameter.
"""

from __future__ import annotations

import importlib
import json
import sys

import clearml.automation
from clearml import Task

_RANGES = [
    ["UniformParameterRange", {"name": "General/x", "min_value": 0.0, "max_value": 1.0}],
    ["UniformIntegerParameterRange", {"name": "General/depth", "min_value": 2, "max_value": 8}],
]


def named(path: str) -> type:
    """The class at ``module.name``."""
    module, _, name = path.rpartition(".")
    found: type = getattr(importlib.import_module(module), name)
    return found


not_given = ("2", json.dumps(_RANGES))[len(sys.argv) - 7 :]
optimizer_class, strategy, template, queue, trials, poll_s, concurrent, ranges = *sys.argv[1:], *not_given
task = Task.init("benchmarks", "optimizer", task_type=Task.TaskTypes.optimizer, reuse_last_task_id=False)
optimizer = named(optimizer_class)(
    base_task_id=template,
    hyper_parameters=[getattr(clearml.automation, kind)(**given) for kind, given in json.loads(ranges)],
    objective_metric_title="validation",
    objective_metric_series="loss",
    objective_metric_sign="min",
    optimizer_class=named(strategy),
    execution_queue=queue,
    max_number_of_concurrent_tasks=int(concurrent),
    total_max_jobs=int(trials),
    max_iteration_per_job=1000,
    **({} if poll_s == "default" else {"pool_period_min": float(poll_s) / 60}),
)
optimizer.set_report_period(0.2)
optimizer.start()
optimizer.wait()
optimizer.get_top_experiments(top_k=3)
optimizer.stop()
