"""ClearML's TaskScheduler clones a task into a queue and calls a function; its arguments: template and queue."""

import json
import os
import sys
import threading
import time

from clearml import Task
from clearml.automation import TaskScheduler

A_SECOND = 1 / 60
PROJECT = f"{os.environ['TEST_PROJECT']}/automation"
template, queue = sys.argv[1:]
called = threading.Event()
scheduler = TaskScheduler(A_SECOND, force_create_task_name="schedule", force_create_task_project=PROJECT)
job = {"queue": queue, "minute": 30, "execute_immediately": True}
scheduler.add_task(schedule_task_id=template, name="a job", task_parameters={"General/lr": "0.25"}, **job)
scheduler.add_task(schedule_function=called.set, name="a call", **job)
threading.Thread(target=scheduler.start, daemon=True).start()
deadline = time.monotonic() + 300
while not (jobs := Task.query_tasks(task_filter={"parent": template, "status": ["queued"]})):
    assert time.monotonic() < deadline
    time.sleep(0.1)
assert called.wait(deadline - time.monotonic())
job = Task.get_task(task_id=jobs[0])
found = {"jobs": len(jobs), "lr": job.get_parameter("General/lr"), "queue": job.data.execution.queue}
print(json.dumps(found), file=sys.stderr)
