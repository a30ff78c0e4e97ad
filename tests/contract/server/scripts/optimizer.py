"""ClearML's usual optimizer script, unmodified; its arguments are the template's id, the queue and the strategy."""

import json
import os
import sys

from clearml import Task
from clearml.automation import (
    DiscreteParameterRange,
    GridSearch,
    HyperParameterOptimizer,
    RandomSearch,
    UniformParameterRange,
)
from clearml.automation.optuna import OptimizerOptuna

template, queue, strategy = sys.argv[1:]
step = 0.75 if strategy == "GridSearch" else None  # a grid of four; with so few points, the others would repeat some
task = Task.init(
    f"{os.environ['TEST_PROJECT']}/agent", "optimizer", task_type=Task.TaskTypes.optimizer, reuse_last_task_id=False
)
optimizer = HyperParameterOptimizer(
    base_task_id=template,
    hyper_parameters=[
        UniformParameterRange("General/lr", min_value=0.25, max_value=1.0, step_size=step),
        DiscreteParameterRange("General/iterations", [2, 3]),
    ],
    objective_metric_title="validation",
    objective_metric_series="score",
    objective_metric_sign="min",
    max_number_of_concurrent_tasks=2,
    optimizer_class={each.__name__: each for each in (RandomSearch, GridSearch, OptimizerOptuna)}[strategy],
    execution_queue=queue,
    total_max_jobs=4 if strategy == "GridSearch" else 2,
    max_iteration_per_job=100,
    pool_period_min=0.01,
    time_limit_per_job=8.0,
)
optimizer.set_report_period(0.05)
optimizer.start()
optimizer.set_time_limit(in_minutes=8.0)
optimizer.wait()
top = optimizer.get_top_experiments(top_k=2)
jobs = Task.get_tasks(task_filter={"parent": task.id})
found = {
    "values": [each.get_last_scalar_metrics()["validation"]["score"]["last"] for each in top],
    "statuses": [str(each.status) for each in jobs],
    "points": sorted(
        [each.get_parameter(f"General/{name}", cast=True) for name in ("lr", "iterations")] for each in jobs
    ),
}
optimizer.stop()
task.close()
print(json.dumps(found), file=sys.stderr)
