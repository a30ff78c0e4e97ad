"""ClearML's usual optimizer script, unmodified; the template's id and the queue are its arguments."""

import json
import sys

from clearml import Task
from clearml.automation import DiscreteParameterRange, HyperParameterOptimizer, UniformParameterRange
from clearml.automation.optuna import OptimizerOptuna

task = Task.init("contract/agent", "optimizer", task_type=Task.TaskTypes.optimizer, reuse_last_task_id=False)
optimizer = HyperParameterOptimizer(
    base_task_id=sys.argv[1],
    hyper_parameters=[
        UniformParameterRange("General/lr", min_value=0.01, max_value=1.0),
        DiscreteParameterRange("General/iterations", [2, 3]),
    ],
    objective_metric_title="validation",
    objective_metric_series="score",
    objective_metric_sign="min",
    max_number_of_concurrent_tasks=1,
    optimizer_class=OptimizerOptuna,
    execution_queue=sys.argv[2],
    total_max_jobs=2,
    max_iteration_per_job=100,
    pool_period_min=0.01,
    time_limit_per_job=5.0,
)
optimizer.set_report_period(0.05)
optimizer.start()
optimizer.set_time_limit(in_minutes=2.0)
optimizer.wait()
top = optimizer.get_top_experiments(top_k=2)
found = {
    "top": [each.id for each in top],
    "values": [each.get_last_scalar_metrics()["validation"]["score"]["last"] for each in top],
    "parents": sorted({each.parent for each in top}) == [task.id],
    "statuses": sorted(str(each.status) for each in top),
}
optimizer.stop()
task.close()
print(json.dumps(found), file=sys.stderr)
