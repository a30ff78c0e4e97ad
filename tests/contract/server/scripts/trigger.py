"""ClearML's TriggerScheduler sees what happens to tasks, models and datasets; its arguments: template and queue."""

import json
import os
import sys
import threading
import time
from pathlib import Path

from clearml import Dataset, InputModel, Task
from clearml.automation import TriggerScheduler
from clearml.backend_api.session.client import APIClient

A_SECOND = 1 / 60
PROJECT = f"{os.environ['TEST_PROJECT']}/automation"
template, queue = sys.argv[1:]
seen = {"tag": [], "metric": [], "dataset": []}
client = APIClient()


def until(happened):
    deadline = time.monotonic() + 300
    while not (found := happened()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
    return found


def make(name, **fields):
    return Task.create(PROJECT, name, add_task_init_call=False, **fields)


Path("data.txt").write_text("data")
task, other = make("to be tagged"), make("to be measured")
dataset = Dataset.create("the data", PROJECT)
dataset.add_files("data.txt")
scheduler = TriggerScheduler(A_SECOND, force_create_task_name="triggers", force_create_task_project=PROJECT)
scheduler.add_task_trigger(
    schedule_function=seen["tag"].append, trigger_project=PROJECT, trigger_on_tags=["go"], name="on a tag"
)
scheduler.add_task_trigger(
    schedule_function=seen["metric"].append,
    trigger_project=PROJECT,
    trigger_on_metric="validation",
    trigger_on_variant="score",
    trigger_on_threshold=0.9,
    trigger_on_sign="max",
    name="on a metric",
)
scheduler.add_model_trigger(
    schedule_task_id=template,
    schedule_queue=queue,
    trigger_project=PROJECT,
    trigger_on_publish=True,
    task_parameters={"General/model": "${model.id}"},
    name="on a model",
)
scheduler.add_dataset_trigger(schedule_function=seen["dataset"].append, trigger_project=PROJECT, name="on a dataset")
threading.Thread(target=scheduler.start, daemon=True).start()
until(lambda: all(trigger.last_update for trigger in scheduler.get_triggers()))  # each has looked once

task.add_tags(["go"])
for iteration, value in enumerate((0.5, 0.95)):
    other.get_logger().report_scalar("validation", "score", value, iteration)
other.flush(wait_for_uploads=True)
project = Task.get_project_id(PROJECT)
model = client.models.create(name="the model", uri="file:///model", project=project, ready=False).id
InputModel(model).publish()
dataset.finalize(auto_upload=True)
until(lambda: all(seen.values()))
jobs = until(lambda: Task.query_tasks(task_filter={"parent": template, "status": ["queued"]}))
found = {
    "tag": seen["tag"] == [task.id],
    "metric": seen["metric"] == [other.id],
    "dataset": seen["dataset"] == [dataset.id],
    "model": [Task.get_task(task_id=job).get_parameter("General/model") for job in jobs] == [model],
}
print(json.dumps(found), file=sys.stderr)
