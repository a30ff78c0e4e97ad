"""Calls that touch one task, queue or worker by its id: so short that the way to a thread and back costs more.

They are answered between two events of the server's loop. Whatever looks through many rows has a thread of its own.
"""

from __future__ import annotations

_ACTIONS = {
    "debug": ("ping",),
    "events": ("add", "add_batch"),
    "queues": ("add_task", "get_by_id", "get_next_task", "get_num_entries", "remove_task"),
    "tasks": (
        *("add_or_update_artifacts", "clone", "completed", "create", "dequeue", "edit", "edit_configuration"),
        *("edit_hyper_params", "enqueue", "failed", "get_by_id", "ping", "started", "stop", "stopped", "update"),
    ),
    "users": ("get_current_user",),
    "workers": ("register", "status_report", "unregister"),
}
_NAMES = frozenset(f"{service}.{action}" for service, actions in _ACTIONS.items() for action in actions)
_LARGEST = 2**14


def is_short(path: str, body: bytes) -> bool:
    """Whether a request of this path is one of them, and is small."""
    return len(body) <= _LARGEST and path.rpartition("/")[2] in _NAMES
