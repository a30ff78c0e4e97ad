"""``queues.*``: made, listed, popped, reordered."""

from __future__ import annotations

from collections.abc import Callable

from clearml_hpo.server.endpoint import Call, Data, Service
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import BOOL, DICT, INT, STR, STRINGS, required, within
from clearml_hpo.server.services.lists import Search, answer, listed
from clearml_hpo.server.services.steps import PERIOD, steps_of
from clearml_hpo.server.store.documents import Document, pick
from clearml_hpo.server.store.projections import Projection
from clearml_hpo.server.store.query import Page
from clearml_hpo.server.store.queues import QUEUES

service = Service("queues")
_VERSION = "2.4"


@service.endpoint("create", _VERSION, name=required(STR), tags=STRINGS, system_tags=STRINGS, metadata=DICT)
def create(call: Call) -> Data:
    """Makes a queue."""
    return {"id": call.store.queues.create(call.data["name"], call.data)}


@service.endpoint("get_by_id", _VERSION, queue=required(STR), max_task_entries=INT)
def get_by_id(call: Call) -> Data:
    """One queue with its entries."""
    return {"queue": call.store.queues.get(call.data["queue"], call.get("max_task_entries"))}


@service.endpoint("get_default", _VERSION)
def get_default(call: Call) -> Data:
    """The default queue."""
    queue = call.store.queues.require(call.store.queues.default_id())
    return {"id": queue["id"], "name": queue["name"]}


@service.endpoint("get_all", _VERSION, max_task_entries=INT)
def get_all(call: Call) -> Data:
    """Queues that match."""
    found = listed(call, QUEUES, _search(call))
    if call.get("max_task_entries") is None:
        # A list answers [] for the metadata of a queue that has none; a single queue answers {}.
        found["queues"] = [
            {**queue, "metadata": queue["metadata"] or []} if "metadata" in queue else queue
            for queue in found["queues"]
        ]
    return found


@service.endpoint("get_all_ex", _VERSION, max_task_entries=INT)
def get_all_ex(call: Call) -> Data:
    """Queues that match, whole whatever fields were asked for, with the names of their tasks and their workers."""
    fields = call.get("only_fields") or []
    if not isinstance(fields, (list, str)) or not all(isinstance(name, str) for name in fields):
        raise ApiRefusal(Refusal.VALIDATION, "error for field 'only_fields': a list of names of fields")
    shown = answer(call, QUEUES, Projection(), _search(call), joins=True)
    workers = call.store.workers.seen()
    for queue in shown["queues"]:
        queue["entries"] = [{**entry, "task": _task(call, entry["task"])} for entry in queue["entries"]]
        queue["workers"] = [{"name": w["id"], "ip": w.get("ip", "")} for w in workers if queue["id"] in w["queues"]]
    return shown


def _search(call: Call) -> Search:
    def search(wanted: Projection, page: Page) -> list[Document]:
        return call.store.queues.search({**call.data, "only_fields": wanted.fields}, page)[0]

    return search


def _task(call: Call, id_: str) -> Document:
    try:
        return pick(call.store.tasks.require(id_, ["name"]), ["id", "name"])
    except ApiRefusal:  # an entry may be of a task that is gone
        return {"id": id_}


@service.endpoint(
    "update",
    _VERSION,
    queue=required(STR),
    name=STR,
    display_name=STR,
    tags=STRINGS,
    system_tags=STRINGS,
    metadata=DICT,
)
def update(call: Call) -> Data:
    """Sets fields of a queue."""
    changed = call.store.queues.update(call.data["queue"], call.data)
    return {"updated": int(bool(changed)), "fields": changed}


@service.endpoint("delete", _VERSION, queue=required(STR), force=BOOL)
def delete(call: Call) -> Data:
    """Removes a queue; one with tasks in it only with force, which dequeues them."""
    id_ = call.data["queue"]
    with call.store.db.transaction():
        call.store.queues.require(id_)
        size = call.store.queues.size(id_)
        if size and not call.get("force"):
            raise ApiRefusal(Refusal.QUEUE_NOT_EMPTY, "use force=true to delete", id=id_)
        call.store.lifecycle.empty(id_, f"Queue {id_} was deleted")
        return {"deleted": call.store.queues.delete(id_)}


@service.endpoint("get_next_task", queue=required(STR), get_task_info=BOOL, task=STR)
def get_next_task(call: Call) -> Data:
    """Takes the first task out of a queue; its status stays "queued" until the worker says that it starts."""
    entry = call.store.queues.pop(call.data["queue"], call.get("task"))
    if entry is None:
        return {}
    if not call.get("get_task_info"):
        return {"entry": entry}
    return {"entry": entry, "task_info": pick(call.store.tasks.require(entry["task"]), ["company", "user"])}


@service.endpoint("peek_task", "2.20", queue=required(STR))
def peek_task(call: Call) -> Data:
    """The first task of a queue, which stays there."""
    call.store.queues.require(call.data["queue"])
    entries = call.store.queues.entries(call.data["queue"], 1)
    return {"task": entries[0]["task"] if entries else None}


@service.endpoint("get_num_entries", "2.20", queue=required(STR))
def get_num_entries(call: Call) -> Data:
    """How many tasks are in a queue."""
    call.store.queues.require(call.data["queue"])
    return {"num": call.store.queues.size(call.data["queue"])}


@service.endpoint("add_task", _VERSION, queue=required(STR), task=required(STR), update_execution_queue=BOOL)
def add_task(call: Call) -> Data:
    """Puts an entry into a queue, and leaves the task's status alone."""
    set_queue = call.get("update_execution_queue", True)
    call.store.lifecycle.add(call.data["queue"], call.data["task"], set_queue=set_queue)
    return {"added": 1}


@service.endpoint("remove_task", _VERSION, queue=required(STR), task=required(STR), update_task_status=BOOL)
def remove_task(call: Call) -> Data:
    """Takes an entry out of a queue; with ``update_task_status`` the task gets the status back that it had."""
    id_, task = call.data["queue"], call.data["task"]
    with call.store.db.transaction():
        call.store.queues.position(id_, task)
        reason = f"Task was removed from the queue {id_}" if call.get("update_task_status") else None
        call.store.lifecycle.take_out(id_, task, reason)
    return {"removed": 1}


@service.endpoint("clear_queue", queue=required(STR))
def clear_queue(call: Call) -> Data:
    """Takes all tasks out of a queue."""
    id_ = call.data["queue"]
    call.store.queues.require(id_)
    return {"removed_tasks": call.store.lifecycle.empty(id_, f"Queue {id_} was cleared")}


@service.endpoint("get_queue_metrics", _VERSION, queue_ids=STRINGS, **{**PERIOD, "interval": required(within(INT, 1))})
def get_queue_metrics(call: Call) -> Data:
    """Lengths and waiting times of some queues, or of all together as "total"; only where something changed."""
    steps, asked = steps_of(call), call.get("queue_ids", [])
    found = []
    for name, ids in [(id_, [id_]) for id_ in asked] or [("total", [])]:
        moments = call.store.history.queues(ids, steps.start, steps.end, steps.size)
        shown = {
            "avg_waiting_times": [waiting for _, _, waiting in moments],
            "dates": [date for date, _, _ in moments],
            "queue_lengths": [length for _, length, _ in moments],
        }
        found.append({**shown, "queue": name})
    return {"queues": found}


# action: the place a task moves to, from its place, the number of places and the number of tasks
_MOVES: dict[str, Callable[[int, int, int], int]] = {
    "move_task_forward": lambda place, steps, size: place - steps,
    "move_task_backward": lambda place, steps, size: place + steps,
    "move_task_to_front": lambda place, steps, size: 0,
    "move_task_to_back": lambda place, steps, size: size,
}


def _move(action: str) -> None:
    @service.endpoint(action, _VERSION, queue=required(STR), task=required(STR), count=INT)
    def move(call: Call) -> Data:
        """Moves a task within its queue; answers its new place."""
        queue, task = call.data["queue"], call.data["task"]
        if call.data.get("count", 1) is None:
            raise ApiRefusal(Refusal.VALIDATION, "error for field 'count': must be a number")
        with call.store.db.transaction():
            place = call.store.queues.position(queue, task)
            target = _MOVES[action](place, call.data.get("count", 1), call.store.queues.size(queue))
            return {"position": call.store.queues.move(queue, task, target)}


for _action in _MOVES:
    _move(_action)
