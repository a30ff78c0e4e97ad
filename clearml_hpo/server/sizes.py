"""How large the body of a request may be, by endpoint: a large one keeps a whole process busy while it is read."""

from __future__ import annotations

SMALL = 2**20
DOCUMENT = 16 * 2**20
"""For what becomes part of one document: scripts, previews, configurations. ClearML's server keeps no larger one."""
BATCH = 64 * 2**20

_LARGER = {
    "events.add_batch": BATCH,
    **dict.fromkeys(
        (
            "events.add",
            "models.add_or_update_metadata",
            "models.create",
            "models.edit",
            "models.update",
            "reports.create",
            "reports.update",
            "tasks.add_or_update_artifacts",
            "tasks.clone",
            "tasks.create",
            "tasks.edit",
            "tasks.edit_configuration",
            "tasks.edit_hyper_params",
            "tasks.update",
            "tasks.update_batch",
            "tasks.validate",
        ),
        DOCUMENT,
    ),
}


def largest_body(endpoint: str) -> int:
    """Bytes that a request to ``service.action`` may have."""
    return _LARGER.get(endpoint, SMALL)
