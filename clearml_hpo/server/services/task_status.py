"""``tasks.*``: what changes a status, for one task or for many."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import BOOL, STR, STRINGS, required
from clearml_hpo.server.services.many import each_of
from clearml_hpo.server.services.task_edits import archive_task, unarchive_task
from clearml_hpo.server.services.tasks import deleted, urls
from clearml_hpo.server.store.lifecycle import STATUSES

service = Service("tasks")

_CHANGE = {
    **{"status_reason": STR, "status_message": STR, "force": BOOL, "publish": BOOL, "publish_model": BOOL},
    **{"clear_all": BOOL, "delete_output_models": BOOL, "return_file_urls": BOOL, "verify_watched_queue": BOOL},
}
Action = Callable[[Call, str], Data]


def _to(call: Call, id_: str, status: str) -> Data:
    return {"fields": call.store.lifecycle.change(id_, status, **_why(call), force=_force(call)), "updated": 1}


def _why(call: Call) -> dict[str, Any]:
    return {"reason": call.get("status_reason", ""), "message": call.get("status_message", "")}


def _force(call: Call) -> bool:
    return bool(call.get("force"))


def start(call: Call, id_: str) -> Data:
    """A worker begins to run a task."""
    return {**_to(call, id_, "in_progress"), "started": 1}


def complete(call: Call, id_: str) -> Data:
    """A task ended well."""
    with call.store.db.transaction():
        answer = {**_to(call, id_, "completed"), "published": 0}
        if call.get("publish"):
            publish(call, id_)
            answer["published"] = 1
    return answer


def stopped(call: Call, id_: str) -> Data:
    """A task was stopped."""
    return _to(call, id_, "stopped")


def fail(call: Call, id_: str) -> Data:
    """A task failed."""
    return _to(call, id_, "failed")


def close(call: Call, id_: str) -> Data:
    """A task is done with."""
    return _to(call, id_, "closed")


def publish(call: Call, id_: str) -> Data:
    """A task is final, and its output models are ready."""
    with call.store.db.transaction():
        answer = _to(call, id_, "published")
        outputs = call.store.tasks.require(id_, ["models"])["models"].get("output", [])
        for item in outputs if call.get("publish_model", True) else []:
            with contextlib.suppress(ApiRefusal):  # a model may have been deleted since
                call.store.models.edit(item["model"], {"ready": True})
    return {**answer, "published": 1}


def stop(call: Call, id_: str) -> Data:
    """A person wants a task stopped."""
    return {"fields": call.store.lifecycle.stop(id_, **_why(call), force=_force(call)), "updated": 1}


def reset(call: Call, id_: str) -> Data:
    """Makes a task as if it had never run."""
    fields, gone = call.store.lifecycle.reset(
        id_,
        force=_force(call),
        clear_all=bool(call.get("clear_all")),
        delete_models=call.get("delete_output_models", True),
    )
    return {
        "deleted_models": len(gone.models),
        "dequeued": {"removed": 1} if gone.was_queued else {},
        "events": {},
        "fields": fields,
        "updated": 1,
        "urls": urls(gone) if call.get("return_file_urls") else {},
    }


def enqueue(call: Call, id_: str) -> Data:
    """Puts a task into a queue."""
    with call.store.db.transaction():
        queue, name = call.get("queue"), call.get("queue_name")
        if not queue and name:
            queue = call.store.queues.id_of(name) or call.store.queues.create(name, {})
        fields = call.store.lifecycle.enqueue(id_, queue, **_why(call), force=_force(call))
    answer: Data = {"fields": fields, "queued": 1, "updated": 1}
    if call.get("verify_watched_queue"):
        watched = {each for worker in call.store.workers.seen() for each in worker["queues"]}
        answer["queue_watched"] = fields["execution.queue"] in watched
    return answer


def dequeue(call: Call, id_: str) -> Data:
    """Takes a task out of its queue."""
    new_status = call.get("new_status")
    if new_status not in (None, *STATUSES):
        raise ApiRefusal(Refusal.VALIDATION, f"error for field 'new_status': no status {new_status!r:.100}")
    fields = call.store.lifecycle.dequeue(id_, new_status=new_status, **_why(call))
    if fields is None:
        return {"dequeued": 1, "updated": 0}
    return {"dequeued": 1, "fields": fields, "updated": 1}


def _one(action: str, version: str, act: Action) -> None:
    @service.endpoint(action, version, task=required(STR), queue=STR, queue_name=STR, new_status=STR, **_CHANGE)
    def answer(call: Call) -> Data:
        """Does it to one task."""
        return act(call, call.data["task"])


def _many(action: str, act: Action) -> None:
    @service.endpoint(action, ids=required(STRINGS), queue=STR, queue_name=STR, new_status=STR, **_CHANGE)
    def answer(call: Call) -> Data:
        """Does it to each of some tasks."""
        return each_of(call.data["ids"], lambda id_: act(call, id_))


for _action, _version, _act in (
    ("started", "1.0", start),
    ("completed", "2.2", complete),
    ("stopped", "1.0", stopped),
    ("failed", "1.0", fail),
    ("close", "1.0", close),
    ("publish", "1.0", publish),
    ("stop", "1.0", stop),
    ("reset", "1.0", reset),
    ("enqueue", "1.0", enqueue),
    ("dequeue", "1.0", dequeue),
):
    _one(_action, _version, _act)

for _action, _act in (
    ("stop_many", stop),
    ("stopped_many", stopped),
    ("completed_many", complete),
    ("failed_many", fail),
    ("publish_many", publish),
    ("reset_many", reset),
    ("enqueue_many", enqueue),
    ("dequeue_many", dequeue),
    ("delete_many", deleted),
    ("archive_many", archive_task),
    ("unarchive_many", unarchive_task),
):
    _many(_action, _act)
