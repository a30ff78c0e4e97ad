"""86 exchanges of the real `hopaas_client` with a stub of its server, as they were recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

_FILE = Path(__file__).with_name("hopaas_wire.jsonl")


class Exchange(NamedTuple):
    """A request and its answer; ``target`` has ``<TOKEN>`` in place of the token."""

    method: str
    target: str
    req_headers: dict[str, str]
    req_body: str
    status: int
    resp_headers: dict[str, str]
    resp_body: str

    @property
    def call(self) -> str:
        """``ask``, ``tell``, ``should_prune``, ``mark_as_failed``, ``get_best_trial`` or ``version``."""
        return [part for part in self.target.split("/") if part][1]

    @property
    def sent(self) -> dict[str, Any]:
        return json.loads(self.req_body)


def exchanges() -> list[Exchange]:
    return [Exchange(**json.loads(line)) for line in _FILE.read_text().splitlines()]
