"""Clones, queues and queries through the SDK, and prints what came of it as JSON."""

import json
import os
import sys

from clearml import Task
from clearml.backend_api.session.client import APIClient

PROJECT = f"{os.environ['TEST_PROJECT']}/sdk"
QUEUE = f"{os.environ['TEST_PROJECT']} queue"
client = APIClient()
template = Task.get_task(task_id=sys.argv[1])
queue = client.queues.create(name=QUEUE).id
clones = []
for number, lr in enumerate((0.3, 0.1, 0.2)):
    clone = Task.clone(template, name=f"clone {number}", parent=template.id)
    clone.set_parameter("General/lr", lr)
    clone.set_user_properties(study="contract", trial=number)
    clone.mark_started(force=True)
    clone.get_logger().report_scalar("validation", "score", lr, 1)
    clone.flush(wait_for_uploads=True)
    clone.mark_completed()
    clones.append(clone)
late = Task.clone(template, name="a clone that waits", parent=template.id)
Task.enqueue(late, queue_name=QUEUE)
statuses = [Task.get_task(task_id=late.id).status]
entries = [entry.task for entry in client.queues.get_by_id(queue).entries]
Task.dequeue(late)
statuses.append(Task.get_task(task_id=late.id).status)
Task.enqueue(late, queue_id=queue)
popped = client.queues.get_next_task(queue=queue).entry.task
statuses.append(Task.get_task(task_id=late.id).status)


def numbers(**task_filter):
    ids = [clone.id for clone in clones]
    found = Task.query_tasks(task_filter={"parent": template.id, "status": ["completed"], **task_filter})
    return [ids.index(task_id) for task_id in found]


def of_study(study):
    """The SDK's request class knows no such filter; the API does."""
    asked = {"parent": template.id, "hyperparams.properties.study.value": [study], "only_fields": ["id"]}
    answer = client.session.send_request("tasks", "get_all", version="2.23", method="post", json=asked).json()
    return len(answer["data"]["tasks"])


# md5 of "validation" and of "score", as the SDK's optimizer asks for them
metric = "last_metrics.a617908b172c473cb8e8cda059e55bf0.ca1cd3c3055991bf20499ee86739f7e2.value"
found = {
    "statuses": statuses,
    "queued": entries == [late.id] and popped == late.id,
    "by metric": numbers(order_by=[metric]),
    "by metric, best first": numbers(order_by=[f"-{metric}"]),
    "by property": numbers(order_by=["-hyperparams.properties.trial.value"]),
    "of the study": of_study("contract"),
    "of another": of_study("other"),
    "by lr": numbers(order_by=["hyperparams.General.lr.value"]),
    "by name": len(Task.get_tasks(project_name=PROJECT, task_name="^clone")),
    "by tag": len(Task.get_tasks(project_name=PROJECT, tags=["first"])),
    "by two tags": len(Task.get_tasks(project_name=PROJECT, tags=["__$all", "first", "second"])),
    "without tag": len(Task.get_tasks(project_name=PROJECT, tags=["-first"])),
    "additional": Task.query_tasks(
        task_filter={"id": [clones[0].id]}, additional_return_fields=["name", "execution.queue"]
    )[0]["name"],
}
late.reset(force=True)
found["reset"] = str(late.status)
found["deleted"] = bool(late.delete() and clones[0].delete(delete_artifacts_and_models=False))
found["left"] = len(Task.query_tasks(task_filter={"id": [late.id, *(clone.id for clone in clones)]}))
print(json.dumps(found), file=sys.stderr)
