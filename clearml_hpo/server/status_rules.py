"""What ClearML's server allows to be done to a task of which status, as tables.

The tables were observed on ClearML's server 2.3.0 (API 2.34) from outside. ``docs/server.md`` says where this server
differs from it, and why.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from clearml_hpo.server.errors import ApiRefusal, Refusal

CREATED, QUEUED, RUNNING = "created", "queued", "in_progress"
STOPPED, FAILED, COMPLETED, PUBLISHED, CLOSED = "stopped", "failed", "completed", "published", "closed"
STATUSES = frozenset((CREATED, QUEUED, RUNNING, STOPPED, FAILED, COMPLETED, PUBLISHED, CLOSED))

# A new status, and the statuses from which it is reached without force. Force reaches it from any, except "queued".
REACHED_FROM: Mapping[str, frozenset[str]] = {
    CREATED: STATUSES - {PUBLISHED},
    QUEUED: frozenset((CREATED, QUEUED, STOPPED, FAILED)),
    RUNNING: frozenset((CREATED, QUEUED, RUNNING, STOPPED, COMPLETED)),
    STOPPED: frozenset((QUEUED, RUNNING, STOPPED, FAILED, CLOSED)),
    FAILED: frozenset((RUNNING, STOPPED, FAILED, CLOSED)),
    COMPLETED: frozenset((RUNNING, STOPPED, COMPLETED)),
    PUBLISHED: frozenset((STOPPED, FAILED, COMPLETED, CLOSED)),
    CLOSED: frozenset((STOPPED, CLOSED)),
}

# Kinds of edits: the statuses that allow one as it is, and those that allow it with force.
Kind = tuple[Collection[str], Collection[str]]
ANYWHERE: Kind = (STATUSES, STATUSES)
EDITED: Kind = (frozenset((CREATED,)), STATUSES)
CONFIGURED: Kind = (frozenset((CREATED,)), frozenset((CREATED, QUEUED, RUNNING)))
OUTPUT: Kind = (frozenset((CREATED, QUEUED, RUNNING)), frozenset((CREATED, QUEUED, RUNNING)))
DELETED: Kind = (frozenset((CREATED,)), STATUSES)

# Fields of a task whose change is no sign of life: it moves last_change, and not last_update.
QUIET = frozenset(("name", "tags", "system_tags", "comment", "project", "parent"))


def require_change(status: str, new_status: str, *, force: bool = False) -> None:
    """Refuses a change of status that ClearML refuses."""
    if not force and status not in REACHED_FROM[new_status]:
        raise ApiRefusal(
            Refusal.INVALID_TASK_STATUS, "Invalid status change", current_status=status, new_status=new_status
        )


def require_editable(status: str, kind: Kind, *, force: bool = False) -> None:
    """Refuses an edit of a kind that ClearML refuses of a task of this status."""
    if status not in kind[bool(force)]:
        raise ApiRefusal(Refusal.INVALID_TASK_STATUS, expected=CREATED, status=status)
