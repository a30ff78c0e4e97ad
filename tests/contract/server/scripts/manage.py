"""What people do with tasks besides running them, through the SDK; prints what came of it as JSON.

Its argument is the session of a task that was run offline.
"""

import json
import os
import sys
from pathlib import Path

import requests
from clearml import OutputModel, Task
from clearml.backend_api.session.client import APIClient

PROJECT = f"{os.environ['TEST_PROJECT']}/tasks"
client = APIClient()
found = {}


def make(name, **fields):
    return Task.create(PROJECT, name, add_task_init_call=False, **fields)


# --- the order of a queue

QUEUE = f"{os.environ['TEST_PROJECT']} order"
queue = client.queues.create(name=QUEUE).id
tasks = [make(f"{letter} task") for letter in "abc"]
for task in tasks:
    Task.enqueue(task, queue_name=QUEUE)


def order():
    return "".join(Task.get_task(task_id=entry.task).name[0] for entry in client.queues.get_by_id(queue).entries)


orders = [order()]
for move, task in (("to_front", 2), ("to_back", 0), ("forward", 0), ("backward", 2)):
    getattr(client.queues, f"move_task_{move}")(queue=queue, task=tasks[task].id)
    orders.append(order())
found["orders"] = orders
found["waiting"] = Task.get_num_enqueued_tasks(queue_name=QUEUE)
Task.dequeue(tasks[0])
tasks[1].mark_stopped(force=True)
found["left"] = order()

# --- projects, tags, the archive

task = tasks[0]
task.move_to_project(new_project_name=f"{PROJECT}/moved")
task.set_tags(["one"])
task.add_tags("two")
task.rename("a new name")
task.set_comment("some words about mango trees")
task.set_archived(True)
task.reload()
found["moved"] = [task.get_project_name(), sorted(task.get_tags()), task.name, task.get_archived()]
found["listed"] = [
    len(Task.get_tasks(project_name=f"{PROJECT}/moved", allow_archived=allowed)) for allowed in (True, False)
]
task.set_archived(False)


def names(**task_filter):
    only = {"project": [task.project, tasks[2].project], "order_by": ["name"]}
    return [Task.get_task(task_id=id_).name for id_ in Task.query_tasks(task_filter={**only, **task_filter})]


found["text"] = names(search_text="mango lemon")
found["tags"] = [names(tags=tags) for tags in (["one", "three"], ["__$all", "one", "three"], ["__$not", "one"])]
found["any"] = names(_any_={"fields": ["name", "comment"], "pattern": "NEW|mango"})
found["changed"] = names(status_changed=[">2000-01-01", "<2100-01-01T00:00:00"], status=["stopped"])
found["projects"] = sorted(project.name for project in Task.get_projects(name=f"^{PROJECT}(/|$)"))

# --- copies

section = {"lr": 0.1, "depth": 3}
task.set_parameters_as_dict({"General": section})
task.upload_artifact("object", {"answer": 42}, wait_on_upload=True)
copied = Task.import_task(task.export_task())
found["copy"] = [copied.id != task.id, copied.name, copied.get_parameters()["General/depth"]]
imported = Task.get_task(task_id=Task.import_offline_session(sys.argv[1]))
found["offline"] = {
    "status": imported.status,
    "lr": imported.get_parameter("General/lr"),
    "loss": imported.get_reported_scalars()["train"]["loss"]["y"],
    "object": imported.artifacts["object"].get(),
}

# --- the end

task.mark_started(force=True)
Path("weights.bin").write_bytes(b"weights")
files = client.session.get_files_server_host()
model = OutputModel(task, name="weights", framework="custom")
model.update_weights("weights.bin", upload_uri=files, auto_delete_file=False, async_enable=False)
urls = [task.artifacts["object"].url, model.url]
header = {"Authorization": f"Bearer {client.session.token}"}
found["files"] = [requests.get(url, headers=header, timeout=30).status_code for url in urls]
task.mark_completed()
found["deleted"] = bool(task.delete(raise_on_error=True))
found["files then"] = [requests.get(url, headers=header, timeout=30).status_code for url in urls]
found["gone"] = [Task.query_tasks(task_filter={"id": [task.id]}), len(client.models.get_all(id=[model.id]))]

published = make("published")
published.mark_started(force=True)
published.mark_completed()
published.publish()
published.reload()
found["published"] = published.status
try:
    published.delete(raise_on_error=True)
except Task.DeleteError:
    found["published stays"] = True
failed = make("failed")
failed.mark_started(force=True)
failed.mark_failed(status_reason="why", status_message="what")
failed.reload()
found["failed"] = [failed.status, failed.data.status_reason, failed.data.status_message]
failed.reset()
found["reset"] = [failed.status, failed.data.status_message]
print(json.dumps(found), file=sys.stderr)
