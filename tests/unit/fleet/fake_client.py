"""A server of one queue, as far as the fleet asks it."""

from __future__ import annotations

from typing import Any

from clearml_hpo.core.errors import ApiError


class FakeClient:
    """Answers, and remembers what it was asked; ``refuse`` names the endpoints that it refuses."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.queue: dict[str, Any] = {"id": "q1", "name": "trials", "tags": ["mine"], "entries": []}
        self.tasks: dict[str, str] = {}
        self.started: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self.system_tags: dict[str, list[str]] = {}
        self.workers: list[str] = []
        self.refuse: set[str] = set()

    def call(self, endpoint: str, **body: Any) -> dict[str, Any]:
        self.calls.append((endpoint, body))
        if endpoint in self.refuse:
            raise ApiError(endpoint, 400, 1, "refused")
        answer: dict[str, Any] = getattr(self, endpoint.replace(".", "_"), lambda **_: {})(**body)
        return answer

    def queues_get_all(self, **_: Any) -> dict[str, Any]:
        return {"queues": [self.queue]}

    def queues_get_by_id(self, **_: Any) -> dict[str, Any]:
        return {"queue": self.queue}

    def queues_update(self, tags: list[str], **_: Any) -> dict[str, Any]:
        self.queue["tags"] = tags
        return {}

    def tasks_get_all(
        self, id: list[str] | None = None, status: list[str] | None = None, page: int = 0, **_: Any
    ) -> dict[str, Any]:
        found = [
            {
                "id": task,
                "status": now,
                "started": self.started.get(task),
                "status_reason": self.reasons.get(task),
                "system_tags": self.system_tags.get(task),
                "execution": {"queue": "q1"},
            }
            for task, now in self.tasks.items()
            if (id is None or task in id) and (status is None or now in status)
        ]
        return {"tasks": found[500 * page : 500 * (page + 1)]}

    def workers_get_all(self) -> dict[str, Any]:
        return {"workers": [{"id": worker} for worker in self.workers]}

    def named(self, endpoint: str) -> list[dict[str, Any]]:
        return [body for name, body in self.calls if name == endpoint]
