"""A pipeline of two decorated functions, each in a process of this machine."""

import json
import os
import sys

from clearml import PipelineController, Task
from clearml.automation.controller import PipelineDecorator

PROJECT = f"{os.environ['TEST_PROJECT']}/pipelines"


@PipelineDecorator.component(return_values=["numbers"], cache=True, packages=[])
def load(size):
    return list(range(int(size)))


@PipelineDecorator.component(return_values=["total"], packages=[])
def add(numbers):
    return sum(numbers)


@PipelineDecorator.pipeline(name="decorated", project=PROJECT, version="1.0", pool_frequency=0.005)
def run(size):
    numbers = load(size)
    assert len(numbers) == size  # waits for the step: the same one again is found in the cache
    return add(load(size))


PipelineDecorator.run_locally()
total = run(4)
task = PipelineController.get(pipeline_project=PROJECT, pipeline_name="decorated")
steps = Task.get_tasks(task_filter={"parent": task.id, "order_by": ["created"], "search_hidden": True})
found = {
    "total": int(total),
    "steps": [(step.name, step.status) for step in steps],
    "status": Task.get_task(task_id=task.id).status,
}
print(json.dumps(found), file=sys.stderr)
