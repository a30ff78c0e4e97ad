"""ClearML's usual optimizer script; the one change is the class that ``optimizer_class`` names.

python examples/02_clearml_script/optimize.py TEMPLATE_TASK_ID
"""

from __future__ import annotations

import sys

from clearml import Task
from clearml.automation import (
    DiscreteParameterRange,
    HyperParameterOptimizer,
    UniformIntegerParameterRange,
    UniformParameterRange,
)

from clearml_hpo import OptunaStrategy


def job_complete_callback(
    job_id: str,
    objective_value: float,
    objective_iteration: int,
    job_parameters: dict[str, object],
    top_performance_job_id: str,
) -> None:
    """Called for every trial that has completed."""
    print(f"completed {job_id}: {objective_value} {job_parameters}; best is {top_performance_job_id}")


task = Task.init(
    "clearml-hpo/examples", "optimizer script", task_type=Task.TaskTypes.optimizer, reuse_last_task_id=False
)

optimizer = HyperParameterOptimizer(
    base_task_id=sys.argv[1],
    hyper_parameters=[
        UniformParameterRange("General/learning_rate", min_value=0.01, max_value=0.3),
        UniformIntegerParameterRange("General/depth", min_value=4, max_value=8),
        DiscreteParameterRange("General/bootstrap_type", values=["Bayesian", "Bernoulli", "MVS"]),
    ],
    objective_metric_title="validation",
    objective_metric_series="logloss",
    objective_metric_sign="min_global",
    optimizer_class=OptunaStrategy,
    execution_queue="default",
    max_number_of_concurrent_tasks=2,
    total_max_jobs=6,
    max_iteration_per_job=1000,
    pool_period_min=0.02,
)
optimizer.set_report_period(0.1)
optimizer.start(job_complete_callback=job_complete_callback)
optimizer.wait()
best = optimizer.get_top_experiments(top_k=1)[0]
print(f"best: {best.id} {best.name}")
optimizer.stop()
