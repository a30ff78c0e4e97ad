"""``tasks.*``: what changes a status, for one task or for many."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import BOOL, STR, STRINGS, required
from clearml_hpo.server.services.bulk_answers import each_of
from clearml_hpo.server.services.tasks import deleted, urls
from clearml_hpo.server.status_rules import STATUSES
from clearml_hpo.server.store.documents import pick

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
    try:
        return {**_to(call, id_, "in_progress"), "started": 1}
    except ApiRefusal as refusal:
        if refusal.reason is Refusal.INVALID_TASK_ID:  # in words of its own, as ClearML's server does
            raise ApiRefusal(Refusal.INVALID_OBJECT_ID, task=None) from None
        raise


def complete(call: Call, id_: str) -> Data:
    """A task ended well."""
    with call.store.db.transaction():
        answer = _to(call, id_, "completed")
        if not call.get("publish"):
            return {**answer, "published": 0}
        publish(call, id_)
        # The answer shows the task as it is then, but for the moment of its publication.
        return {"fields": {**answer["fields"], "status": "published"}, "published": 1, "updated": 1}


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
        task = call.store.tasks.require(id_, ["models", "output"])
        outputs = task["models"].get("output", [])
        for item in outputs if call.get("publish_model", True) else []:
            with contextlib.suppress(ApiRefusal):  # a model may have been deleted since
                call.store.models.edit(item["model"], {"ready": True})
    answer["fields"]["output"] = task["output"]
    return answer


def stop(call: Call, id_: str) -> Data:
    """A user wants a task stopped."""
    fields = call.store.lifecycle.stop(id_, reason=call.get("status_reason", ""), force=_force(call))
    return {"fields": fields, "updated": 1}


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
    queue, name = call.get("queue"), call.get("queue_name")
    if queue and name:
        raise ApiRefusal(Refusal.VALIDATION, "Either queue id or queue name should be provided")
    if name:
        call.store.tasks.require(id_, ["id"])
        queue = call.store.queues.id_of(name) or call.store.queues.create(name, {})
    fields = call.store.lifecycle.enqueue(id_, queue, **_why(call))
    watched = _watched(call, fields["execution.queue"]) if call.get("verify_watched_queue") else {}
    return {"fields": fields, "queued": 1, "updated": 1, **watched}


def _watched(call: Call, queue: str) -> Data:
    """Whether a worker serves a queue."""
    return {"queue_watched": any(queue in worker["queues"] for worker in call.store.workers.seen())}


def dequeue(call: Call, id_: str) -> Data:
    """Takes a task out of its queue."""
    new_status = call.get("new_status")
    if new_status not in (None, *STATUSES):
        raise ApiRefusal(Refusal.VALIDATION, f"error for field 'new_status': no status {new_status!r:.100}")
    fields = call.store.lifecycle.dequeue(id_, new_status=new_status, **_why(call))
    return {"dequeued": 1, "fields": fields or {}, "updated": int(fields is not None)}


# --- one of many: what ClearML's server answers about it differs a little from what it answers about one --------------


def publish_each(call: Call, id_: str) -> Data:
    """Publishes one of some tasks."""
    return pick(publish(call, id_), ["fields", "updated"])


def enqueue_each(call: Call, id_: str) -> Data:
    """Puts one of some tasks into a queue."""
    return {**pick(enqueue(call, id_), ["fields", "updated"]), "queued": True}


def dequeue_each(call: Call, id_: str) -> Data:
    """Takes one of some tasks out of its queue; one that is unknown counts as taken out."""
    return {**dequeue(call, id_), "dequeued": True}


def archive_each(call: Call, id_: str) -> Data:
    """Hides one task."""
    call.store.lifecycle.archive(id_)
    return {"archived": True}


def unarchive_each(call: Call, id_: str) -> Data:
    """Shows one task again."""
    call.store.lifecycle.unarchive(id_)
    return {"unarchived": True}


@service.endpoint("archive", tasks=required(STRINGS), status_reason=STR, status_message=STR)
def archive(call: Call) -> Data:
    """Hides tasks; all of them or none."""
    with call.store.db.transaction():
        return {"archived": len([archive_each(call, id_) for id_ in call.data["tasks"]])}


def reset_each(call: Call, id_: str) -> Data:
    """Makes one of some tasks as if it had never run."""
    answer = reset(call, id_)
    return {**pick(answer, ["deleted_models", "fields", "updated", "urls"]), "dequeued": bool(answer["dequeued"])}


@service.endpoint(
    "enqueue_many",
    **{"ids": required(STRINGS), "queue": STR, "queue_name": STR, "validate_tasks": BOOL},
    **_CHANGE,
)
def enqueue_many(call: Call) -> Data:
    """Puts some tasks into a queue."""
    answer = each_of(call.data["ids"], lambda id_: enqueue_each(call, id_))
    queue = next((done["fields"]["execution.queue"] for done in answer["succeeded"]), call.get("queue", ""))
    return {**answer, **(_watched(call, queue) if call.get("verify_watched_queue") else {})}


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
    ("publish_many", publish_each),
    ("reset_many", reset_each),
    ("dequeue_many", dequeue_each),
    ("delete_many", deleted),
    ("archive_many", archive_each),
    ("unarchive_many", unarchive_each),
):
    _many(_action, _act)
