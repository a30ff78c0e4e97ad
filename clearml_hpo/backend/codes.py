"""ClearML's codes, reasons and tags: the numbers and set phrases of its server, of its agents and of this package."""

from __future__ import annotations

from enum import IntEnum

BAD_REQUEST = 400
"""``ApiError.code`` of a call that the server refuses for good; the subcode tells why."""


class Subcode(IntEnum):
    """``ApiError.subcode``: why a server refused a call."""

    INVALID_ID = 10  # tasks.started: the task was deleted
    NO_SUCH_TASK = 101
    WRONG_STATUS = 110  # the task's status does not allow the call
    EVENTS_NOT_ADDED = 131  # none of a batch: their task was deleted
    NO_SUCH_MODEL = 201
    NO_SUCH_QUEUE = 701
    NOT_IN_QUEUE = 703
    ALREADY_IN_QUEUE = 706
    NAME_TAKEN = 801  # of a project or a queue


# --- status_reason and status_message ---------------------------------------------------------------------------------
# They are on users' servers: a text that changes here is no longer recognised there.

STOPPING = "stopping"
"""``status_message`` of a running task that its worker is to stop."""
LOST = "lost:"
"""Begins the reason of a failure that is its machine's, not its script's: the trial is retried."""
PULLED_BY = "pulled by "
"""Begins the reason of a start; the worker's id follows."""
CONTROLLER_ENDED = "its controller ended"
"""Why a task is stopped that runs on this machine when its controller ends."""
STOPPED_BY_USER = "stopped by a user"
"""Why a task is stopped whose end a user has asked for without giving a reason; no code looks for it."""
AGENT_ENDED = "user abort"
"""Begins what clearml-agent says of its task when the agent itself is interrupted or terminated."""
MOVED_TO_KUBERNETES = "moving to k8s pending queue"
"""Why ClearML's Kubernetes agent stops a task that it has taken: at once it puts it in a queue of its own."""
PRUNED_BY_SCRIPT = "pruned by its script"
"""Why a task is stopped whose Python function has raised ``TrialPruned``."""
TOLD_NOT_FINITE = "not finite:"
"""Begins why a task is failed whose outside worker told NaN or infinity; no server takes these as a scalar."""
PRUNED_AT = "pruned at iteration"
"""Begins why a task is stopped that the pruner has ended; the iteration follows."""
IDLE = "idle:"
"""Begins why a study is driven no more for which nobody asks: its gateway goes on with it at the next ask."""
_NON_RESPONSIVE = ("stopped as non-responsive", "Forced stop (non-responsive)")


def is_non_responsive(reason: str) -> bool:
    """True if the server, the embedded one or ClearML's, stopped a task because it heard nothing of it."""
    return reason.startswith(_NON_RESPONSIVE)


# --- tags -------------------------------------------------------------------------------------------------------------

ARCHIVED = "archived"
"""System tag of what is archived."""
QUEUE_CLOSED = "force_workers:off"
"""Tag of a queue from which no agent takes anything."""
