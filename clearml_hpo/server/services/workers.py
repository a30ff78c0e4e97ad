"""``workers.*``: agents register, report and are listed."""

from __future__ import annotations

import contextlib
from typing import Any

from clearml_hpo.server import clock as time
from clearml_hpo.server import identity
from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import INT, STR, STRINGS, Field, required
from clearml_hpo.server.services.steps import PERIOD, steps_of
from clearml_hpo.server.store import Store
from clearml_hpo.server.store.documents import Document, pick

service = Service("workers")


@service.endpoint(
    "register", "2.4", worker=required(STR), queues=STRINGS, tags=STRINGS, system_tags=STRINGS, timeout=INT
)
def register(call: Call) -> Data:
    """A worker begins; the queues that it says to serve must be there."""
    timeout = call.get("timeout", 0)
    if timeout < 0:
        raise ApiRefusal(Refusal.WORKER_NOT_REGISTERED, "invalid timeout", timeout=timeout, worker=call.data["worker"])
    missing = [id_ for id_ in call.get("queues", []) if not call.store.queues.is_there(id_)]
    if missing:
        raise ApiRefusal(Refusal.INVALID_QUEUE_ID, ids=f"({', '.join(missing)})")
    call.store.workers.register(call.data["worker"], call.client, call.data)
    return {}


@service.endpoint("unregister", "2.4", worker=required(STR))
def unregister(call: Call) -> Data:
    """A worker ends."""
    call.store.workers.unregister(call.data["worker"])
    return {}


# What the SDK's request class names; other keys are ignored.
STATISTICS = (
    *("cpu_usage", "cpu_temperature", "gpu_usage", "gpu_temperature", "gpu_memory_free", "gpu_memory_used"),
    *("memory_used", "memory_free", "network_tx", "network_rx"),
    *("disk_free_home", "disk_free_temp", "disk_read", "disk_write"),
)


def _statistics(value: Any) -> Document | None:
    """``{metric: number or numbers}``, as a field."""
    if not isinstance(value, dict):
        return None
    known = [value[name] for name in STATISTICS if name in value]
    numbers = [each for item in known for each in (item if isinstance(item, list) else [item])]
    return value if all(each is None or isinstance(each, (int, float)) for each in numbers) else None


MACHINE_STATS = Field(_statistics, "machinestats")


@service.endpoint(
    "status_report",
    "2.4",
    worker=required(STR),
    task=STR,
    queue=STR,
    queues=STRINGS,
    tags=STRINGS,
    system_tags=STRINGS,
    timestamp=required(INT),
    machine_stats=MACHINE_STATS,
)
def status_report(call: Call) -> Data:
    """A worker is alive, and says what it runs and how its machine is."""
    task = call.get("task")
    if task:
        call.store.tasks.require(task, ["id"])
    queue = call.get("queue") if task else None  # a queue counts together with a task only
    call.store.workers.report(call.data["worker"], call.client, {**call.data, "queue": queue})
    if stats := call.get("machine_stats"):
        call.store.machines.keep(call.data["worker"], stats)
    return {}


@service.endpoint("get_all", "2.4", last_seen=INT, tags=STRINGS, system_tags=STRINGS)
def get_all(call: Call) -> Data:
    """Workers that reported lately, of those with some tags."""
    workers = call.store.workers.seen(call.get("last_seen"), call.data)
    return {"workers": [_shown(call.store, worker) for worker in workers]}


@service.endpoint("get_count", last_seen=INT, tags=STRINGS, system_tags=STRINGS)
def get_count(call: Call) -> Data:
    """How many workers reported lately."""
    return {"count": len(call.store.workers.seen(call.get("last_seen"), call.data))}


@service.endpoint("get_activity_report", "2.4", **PERIOD)
def get_activity_report(call: Call) -> Data:
    """How many workers were there over time, and how many of them ran a task."""
    steps = steps_of(call)
    total, active = call.store.history.workers(steps.start, steps.end, steps.size)
    return {"active": {"counts": active, "dates": steps.dates}, "total": {"counts": total, "dates": steps.dates}}


def _shown(store: Store, worker: Document) -> Document:
    """A worker as ``get_all`` lists it, with its queues and task filled in."""
    shown: Document = {
        "company": {"id": identity.COMPANY_ID, "name": identity.COMPANY_NAME},
        "id": worker["id"],
        "ip": worker.get("ip", ""),
        "key": f"worker_{identity.COMPANY_ID}_{identity.USER_ID}_{worker['id']}",
        "queues": [_queue(store, queue) or {"id": queue} for queue in worker["queues"]],
        "user": {"id": identity.USER_ID, "name": identity.USER_NAME},
        **pick(worker, _AS_STORED),
    }
    if "queue" in worker and (queue := _queue(store, worker["queue"])):
        shown["queue"] = queue
    if "task" in worker:
        shown.update(_task(store, worker["task"]))
    return shown


_AS_STORED = (
    "last_activity_time",
    "last_report_time",
    "register_time",
    "register_timeout",
    "system_tags",
    "tags",
)


def _queue(store: Store, id_: str) -> Document | None:
    try:
        queue = store.queues.require(id_)
    except ApiRefusal:
        return None
    shown: Document = {"id": id_, "name": queue["name"]}
    for entry in store.queues.entries(id_, 1):
        with contextlib.suppress(ApiRefusal):  # an entry may be of a task that is gone
            shown["next_task"] = pick(store.tasks.require(entry["task"], ["name"]), ["id", "name"])
    return {**shown, "num_tasks": store.queues.size(id_)}


def _task(store: Store, id_: str) -> Document:
    try:
        task = store.tasks.require(id_, ["name", "last_iteration", "started", "project"])
    except ApiRefusal:
        return {}
    ran = (store.clock() - time.parse(task["started"])).total_seconds() * 1000 if "started" in task else 0
    shown: Document = {
        "task": {
            "id": id_,
            "last_iteration": task["last_iteration"],
            "name": task["name"],
            "running_time": max(0, int(ran)),
        }
    }
    if "project" in task:
        shown["project"] = pick(store.projects.require(task["project"], ["name"]), ["id", "name"])
    return shown
