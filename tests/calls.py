"""The calls that the product made while the tests ran, held against what ClearML's server allows.

The embedded servers of all tests note each call that they answer (``CLEARML_HPO_CALL_LOG``). At the end of a run each
of the product's own calls is looked at: does ClearML's server know the endpoint and its fields, does it allow them of a
task of this status? What was refused is either meant, with a reason, or a fault.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from clearml_hpo.machine.settings import USER_AGENT
from tests.contract.server.matrix import matrix
from tests.contract.server.sdk_schemas import request_schemas
from tests.unit.server.test_statuses import LIVE, rows

# Endpoints that ClearML's server has and whose fields matrix.py does not list.
_MORE_FIELDS = {
    "auth.login": {"expiration_sec"},
    "events.add_batch": set(),
    "events.multi_task_scalar_metrics_iter_histogram": {"metrics"},  # expected.jsonl: the others are not answered
    "queues.add_task": {"update_execution_queue"},
    "queues.remove_task": {"update_task_status"},
    "server.info": set(),
}
# Fields of events; the SDK's schema of events.add names those of any kind of event.
_EVENT = {
    *("type", "task", "timestamp", "iter", "metric", "variant", "value", "worker", "msg", "level", "plot_str"),
    *("url", "key", "model_event", "allow_locked", "x_axis_label", "plot_data", "skip_validation"),
}
_OF_EACH_CALL = {"method"}  # the SDK adds it to a GET with a body, and ClearML's server ignores it
_LISTS = re.compile(r"\.(get_all|get_all_ex)$")
_FILTERS = re.compile(
    r"(hyperparams|last_metrics|execution|runtime|models|configuration|script|container)\..+|_any_|_all_|_and_|_or_"
)
_MORE_FILTERS = {
    *("started", "created", "completed", "last_update", "status_changed", "parent", "size", "scroll_id"),
    *("include_subprojects", "filters"),
}
# Refusals that the product expects, (endpoint, subcode), and what it does then.
EXPECTED: dict[tuple[str, int], str] = {
    ("events.multi_task_scalar_metrics_iter_histogram", 101): "one was deleted: the call is made again without it",
    ("events.get_task_log", 101): "it was deleted just before: the next poll misses it",
    ("queues.delete", 701): "somebody else has deleted it: it was to go",
    ("queues.delete", 702): "something has come into it meanwhile: it stays",
    ("queues.get_next_task", 701): "its queue was deleted: that is said, and the worker leaves it out",
    ("queues.remove_task", 703): "a worker was quicker: the task is left to it",
    ("tasks.enqueue", 101): "it was deleted: there is nothing to run",
    ("tasks.enqueue", 110): "it runs or has ended: an earlier call was heard, or somebody else has started it",
    ("tasks.enqueue", 701): "the queue was deleted: that is said, and the trial goes to another one",
    ("tasks.enqueue", 706): "it waits already: an earlier call was heard",
    ("tasks.get_by_id", 101): "a study file names a template that is not there: that is said",
    ("tasks.completed", 101): "a user has reset, ended or deleted the task of an outside worker: that is said",
    ("tasks.completed", 110): "a user has reset, ended or deleted the task of an outside worker: that is said",
    ("tasks.failed", 101): "a user has reset, ended or deleted the task of an outside worker: that is said",
    ("tasks.failed", 110): "a user has reset, ended or deleted the task of an outside worker: that is said",
    ("tasks.stopped", 101): "a user has reset, ended or deleted the task of an outside worker: that is said",
    ("tasks.stopped", 110): "a user has reset, ended or deleted the task of an outside worker: that is said",
    ("tasks.started", 10): "it was deleted as it was taken: the next one is looked at",
    ("workers.register", 701): "one of its queues was deleted: the worker registers for the others",
    ("workers.status_report", 101): "its task was deleted: the worker reports without it",
}


@dataclass(frozen=True)
class Call:
    """A call as it was noted."""

    endpoint: str
    fields: tuple[str, ...]
    force: bool
    statuses: tuple[str, ...]
    answer: tuple[int, int]
    why: str = ""


def recorded(folder: Path) -> Counter[Call]:
    """The product's own calls, and how often each was made."""
    found: Counter[Call] = Counter()
    for path in folder.glob("*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                noted = json.loads(line)
            except ValueError:  # a server that was killed while it wrote
                continue
            if noted["agent"] == USER_AGENT:
                about = (noted["endpoint"], tuple(noted["fields"]), noted["force"], tuple(noted["statuses"]))
                found[Call(*about, tuple(noted["answer"]), noted.get("why", ""))] += 1
    return found


def faults(calls: Iterable[Call]) -> Iterator[str]:
    """What ClearML's server does not know or does not allow, a line each."""
    for call in calls:
        known = fields_of(call.endpoint)
        if known is None:
            yield f"{call.endpoint}: ClearML's server has no such endpoint"
            continue
        odd = [name for name in call.fields if name not in known and not _is_filter(call.endpoint, name)]
        if odd:
            yield f"{call.endpoint}: ClearML's server ignores {', '.join(odd)}"
        code, subcode = call.answer
        if code >= 400 and (call.endpoint, subcode) not in EXPECTED:
            yield f"{call.endpoint} of {_what(call)} was refused: {code}/{subcode} ({call.why:.200})"
        if code == 200:
            yield from _not_allowed(call)


def _what(call: Call) -> str:
    return ", ".join(call.statuses) or "no task"


@cache
def fields_of(endpoint: str) -> frozenset[str] | None:
    """The fields that ClearML's server knows of an endpoint, or None for one that it does not have."""
    listed = {
        name: {field.partition(":")[0].rstrip("*") for field in fields}
        for name, *fields in map(str.split, matrix.FIELDS.strip().splitlines())
    }
    missing = {"tasks.completed_many", "tasks.failed_many", "tasks.stopped_many", "tasks.delete_runtime"}
    if endpoint in missing or (endpoint not in listed and endpoint not in _MORE_FIELDS):
        return None
    schema = request_schemas().get(endpoint, {}).get("properties", {})
    event = _EVENT if endpoint in ("events.add", "events.add_batch") else set()
    more = _MORE_FIELDS.get(endpoint, set()) | event | _OF_EACH_CALL
    return frozenset(listed.get(endpoint, set()) | set(schema) | more)


def _is_filter(endpoint: str, name: str) -> bool:
    return bool(_LISTS.search(endpoint)) and (name in _MORE_FILTERS or bool(_FILTERS.fullmatch(name)))


@cache
def _transitions() -> dict[tuple[str, str], str]:
    return {(action, state): outcome for state, action, outcome in rows()}


_EDITS = re.compile(
    r"tasks\.(edit_hyper_params|delete_hyper_params|edit_configuration|delete_configuration|add_or_update_artifacts"
    r"|delete_artifacts|add_or_update_model|delete_models)"
)
_OF_PROPERTIES = ("tasks.edit_hyper_params", "tasks.delete_hyper_params")


def _not_allowed(call: Call) -> Iterator[str]:
    """A call for one task that was accepted, though ClearML's server refuses it of that status."""
    if call.endpoint.endswith("_many") or len(call.statuses) != 1:
        return
    [status] = call.statuses
    outcome = _transitions().get((call.endpoint.partition(".")[2], status), "")
    if call.endpoint.startswith("tasks.") and outcome.isdigit() and not call.force and outcome != "706":
        yield f"{call.endpoint} of {status} was accepted; ClearML's server answers {outcome}"
    if _EDITS.fullmatch(call.endpoint) and call.endpoint not in _OF_PROPERTIES and status not in LIVE:
        yield f"{call.endpoint} of {status} was accepted; ClearML's server answers 110"
