"""A script as ClearML's manual has it, for any of the optimizer classes.

python optimizer_script.py OPTIMIZER STRATEGY TEMPLATE_TASK_ID QUEUE TRIALS POLL_S [CONCURRENT]
"""

from __future__ import annotations

import importlib
import sys

from clearml import Task
from clearml.automation import UniformIntegerParameterRange, UniformParameterRange


def named(path: str) -> type:
    """The class at ``module.name``."""
    module, _, name = path.rpartition(".")
    found: type = getattr(importlib.import_module(module), name)
    return found


optimizer_class, strategy, template, queue, trials, poll_s, *concurrent = sys.argv[1:]
task = Task.init("benchmarks", "optimizer", task_type=Task.TaskTypes.optimizer, reuse_last_task_id=False)
optimizer = named(optimizer_class)(
    base_task_id=template,
    hyper_parameters=[
        UniformParameterRange("General/x", min_value=0.0, max_value=1.0),
        UniformIntegerParameterRange("General/depth", min_value=2, max_value=8),
    ],
    objective_metric_title="validation",
    objective_metric_series="loss",
    objective_metric_sign="min",
    optimizer_class=named(strategy),
    execution_queue=queue,
    max_number_of_concurrent_tasks=int(concurrent[0]) if concurrent else 2,
    total_max_jobs=int(trials),
    max_iteration_per_job=1000,
    pool_period_min=float(poll_s) / 60,
)
optimizer.set_report_period(0.2)
optimizer.start()
optimizer.wait()
optimizer.get_top_experiments(top_k=3)
optimizer.stop()
