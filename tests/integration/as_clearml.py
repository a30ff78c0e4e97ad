"""What ClearML's server refuses of the calls that this process makes, whatever the embedded one takes.

The rules are those that records, curves, logs and reports have to keep; statuses are the server's own matter.
"""

from __future__ import annotations

import pytest

from clearml_hpo.errors import ApiError
from clearml_hpo.tasks import Api

MOST_ROWS = 500
_OPEN = ("created", "queued", "in_progress")
_OF_OPEN_TASKS = {
    "tasks.add_or_update_artifacts",
    "tasks.add_or_update_model",
    "tasks.delete_artifacts",
    "tasks.delete_configuration",
    "tasks.delete_models",
    "tasks.edit_configuration",
}


def refusal(call, api, endpoint, body):
    """Why ClearML's server refuses a call, as an error; None if it does not."""
    sections = {item["section"] for item in body.get("hyperparams") or () if isinstance(item, dict)}
    is_locked = endpoint in _OF_OPEN_TASKS or (endpoint == "tasks.edit_hyper_params" and sections - {"properties"})
    if is_locked:
        found = call(api, "tasks.get_all", id=[body["task"]], only_fields=["status"], search_hidden=True)["tasks"]
        if found and found[0]["status"] not in _OPEN:
            return ApiError(endpoint, 400, 110, f"Invalid task status: {found[0]['status']}")
    if endpoint == "events.get_task_events" and body.get("event_type") == "log":
        return ApiError(endpoint, 500, 0, "'iter'")
    if not 1 <= body.get("samples", 1) <= 6000:
        return ApiError(endpoint, 400, 12, "Validation error: samples")
    if endpoint.startswith("events.multi_task") and not 1 <= len(body["tasks"]) <= 100:
        return ApiError(endpoint, 400, 12, "Validation error: tasks")
    return None


@pytest.fixture(autouse=True)
def as_clearml(monkeypatch):
    """Has refused what ClearML's server refuses, and no list be longer than its lists; all calls, in their order."""
    call, calls = Api.call, []

    def strict(api, endpoint, **body):
        error = refusal(call, api, endpoint, body)
        if error is not None:
            raise error
        if endpoint.endswith(".get_all"):
            body = {**body, "page": body.get("page", 0), "page_size": min(body.get("page_size", MOST_ROWS), MOST_ROWS)}
        calls.append((endpoint, body))
        return call(api, endpoint, **body)

    monkeypatch.setattr(Api, "call", strict)
    return calls
