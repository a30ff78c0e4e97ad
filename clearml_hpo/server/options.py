"""How a server is run: what `server start` and `server run` can be told."""

from __future__ import annotations

from dataclasses import dataclass

_TASK_TIMEOUT_S = 15 * 60.0


@dataclass(frozen=True)
class Options:
    """How a server is run.

    Attributes:
        task_timeout_s: a task that runs, and of which nothing was heard for so long, is stopped; 0: never.
    """

    task_timeout_s: float = _TASK_TIMEOUT_S

    def arguments(self) -> list[str]:
        """The options of ``clearml-hpo server run`` that say the same."""
        return ["--task-timeout", f"{self.task_timeout_s:g}s"]


DEFAULT = Options()
