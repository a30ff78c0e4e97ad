"""A pipeline of three steps, each run by an agent: a template task, and two functions; its argument is the queue."""

import json
import os
import sys

from clearml import PipelineController, Task


def doubled(value):
    return {"twice": float(value) * 2}  # an artifact; plain numbers are parameters


def total(first, second):
    from clearml import Logger

    found = first["twice"] + float(second)
    Logger.current_logger().report_single_value("total", found)
    return found


template, queue = sys.argv[1:]
pipeline = PipelineController(
    "three steps", f"{os.environ['TEST_PROJECT']}/pipelines", "1.0", add_pipeline_tags=True, pool_frequency=0.005
)
controller = Task.current_task().id
pipeline.set_default_execution_queue(queue)
pipeline.add_parameter("lr", 0.5)
pipeline.add_step(
    "train",
    base_task_id=template,
    parameter_override={"General/lr": "${pipeline.lr}", "General/iterations": "2"},
    monitor_metrics=[("validation", "score")],
)
pipeline.add_function_step(
    "double", doubled, {"value": "${train.parameters.General/lr}"}, ["double"], parents=["train"], packages=[]
)
pipeline.add_function_step(
    "sum", total, {"first": "${double.double}", "second": "${pipeline.lr}"}, ["sum"], packages=[]
)
pipeline.start_locally()
pipeline.wait()
task = Task.get_task(task_id=controller)
steps = {node.name: Task.get_task(task_id=node.executed) for node in pipeline.get_processed_nodes().values()}
found = {
    "statuses": {name: step.status for name, step in steps.items()},
    "workers": sorted({step.data.last_worker for step in steps.values()}),
    "parents": sorted({step.parent for step in steps.values()}) == [task.id],
    "result": steps["sum"].get_parameter("return/sum", cast=True),
    "single": steps["sum"].get_reported_single_value("total"),
    "monitored": task.get_last_scalar_metrics(),
    "tags": sorted(task.get_system_tags()),
    "project": task.get_project_name(),
    "id": task.id,
}
pipeline.stop()
print(json.dumps(found), file=sys.stderr)
