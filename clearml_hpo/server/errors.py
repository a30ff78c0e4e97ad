"""What a ClearML server says when it refuses a call: codes, subcodes and texts in one table."""

from __future__ import annotations

from enum import Enum
from typing import Any


class Refusal(Enum):
    """A reason to refuse, as ``(HTTP status and result code, result subcode, text)``."""

    BAD_REQUEST = (400, 0, "Invalid request")
    INVALID_OBJECT_ID = (400, 10, "Invalid object id")
    MISSING_FIELD = (400, 11, "Missing required fields")
    VALIDATION = (400, 12, "Validation error")
    INVALID_VALUE = (400, 16, "Invalid value for fields")
    EMPTY_BATCH = (400, 17, "Batch request contains no items")
    NO_SUCH_FIELD = (400, 14, "Lookup error (probably an invalid field name or unsupported nested field)")
    FIELDS_NOT_DEFINED = (400, 14, "Fields not defined for object")
    BAD_PATTERN = (400, 21, "Malformed regular expression")
    NO_SUCH_KEY = (400, 75, "Access key not found")
    INVALID_TASK_ID = (400, 101, "Invalid task id")
    INVALID_TASK_STATUS = (400, 110, "Invalid task status")
    TASK_CANNOT_BE_DELETED = (400, 123, "Task cannot be deleted")
    EVENTS_NOT_ADDED = (400, 131, "Events not added")
    NOT_A_REPORT = (400, 150, "Passed task is not report")
    INVALID_MODEL_ID = (400, 201, "Invalid model id")
    MODEL_IS_READY = (400, 202, "Model is published")
    INVALID_USER_ID = (400, 301, "Invalid user id")
    INVALID_PROJECT_ID = (400, 401, "Invalid project id")
    PROJECT_HAS_CONTENT = (400, 402, "Project has associated tasks")
    BAD_PROJECT_NAME = (400, 407, "Invalid project name")
    PROJECT_PLACE = (400, 408, "Cannot update the place of a project (use projects.move)")
    SAME_PROJECT = (400, 410, "Project has the same source and destination paths")
    PROJECT_BELOW_ITSELF = (400, 411, "Project cannot be moved under itself")
    INVALID_QUEUE_ID = (400, 701, "Invalid queue id")
    QUEUE_NOT_EMPTY = (400, 702, "Queue is not empty")
    NOT_IN_QUEUE = (400, 703, "Invalid queue id or task not in queue")
    ALREADY_QUEUED = (400, 706, "Failed adding task to queue since task is already queued")
    DATA_VALIDATION = (400, 800, "Data validation error")
    PROJECT_EXISTS = (400, 801, "Project with the same name already exists")
    VALUE_EXISTS = (
        400,
        801,
        "Value combination already exists (unique field already contains this value)",
    )
    WORKER_NOT_REGISTERED = (400, 1002, "Worker registration failed")
    WORKER_STATS_NOT_FOUND = (400, 1005, "Worker stats not found")
    NO_LONGER_SUPPORTED = (301, 1, "This endpoint is no longer supported for the requested api version")
    BAD_AUTHENTICATION = (401, 10, "Unauthorized (bad authentication header type)")
    INVALID_SCROLL_ID = (400, 1104, "Invalid scroll id")
    NO_CREDENTIALS = (401, 20, "Unauthorized (missing credentials)")
    INVALID_CREDENTIALS = (401, 22, "Unauthorized (invalid credentials)")
    INVALID_TOKEN = (401, 30, "Invalid token")
    FORBIDDEN = (403, 20, "Forbidden (not allowed for role)")
    UNKNOWN_ENDPOINT = (404, 0, "Unable to find endpoint")
    TOO_LARGE = (413, 0, "Request is too large")
    INTERNAL = (500, 100, "General error")


class ApiRefusal(Exception):
    """A call is refused; the dispatcher turns this into ClearML's envelope."""

    def __init__(self, reason: Refusal, detail: str = "", /, **facts: Any) -> None:
        code, subcode, text = reason.value
        message = f"{text} ({detail})" if detail else text
        if facts:
            message += ": " + ", ".join(f"{name}={value}" for name, value in facts.items())
        super().__init__(message)
        self.reason = reason
        self.facts = facts
        self.code: int = code
        self.subcode: int = subcode


def invalid_path(path: str) -> ApiRefusal:
    """The refusal of a path that names no version and endpoint, in ClearML's words."""
    refusal = ApiRefusal(Refusal.BAD_REQUEST)
    refusal.args = (f"Invalid request path {path}",)
    return refusal


def unknown_endpoint(name: str, version: str) -> ApiRefusal:
    """The refusal of a call to an endpoint that is not there, in ClearML's words."""
    refusal = ApiRefusal(Refusal.UNKNOWN_ENDPOINT)
    refusal.args = (f"Unable to find endpoint for name {name} and version {version}",)
    return refusal
