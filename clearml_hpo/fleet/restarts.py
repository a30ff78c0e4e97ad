"""When a daemon that died is started again, and when it is given up."""

from __future__ import annotations

from dataclasses import dataclass, replace

QUICK_S = 20.0
"""A daemon that lived for less than this did not get to work: starting it again as it is may be in vain."""
GIVE_UP_AFTER = 5
"""Quick deaths in a row after which an agent is given up."""
FIRST_DELAY_S = 1.0
"""Wait before an agent that died quickly is started again; doubles with each quick death."""
LONGEST_DELAY_S = 60.0
"""Longest wait before an agent is started again."""


@dataclass(frozen=True)
class Restarts:
    """The deaths of one agent's daemons so far."""

    total: int = 0
    quick_in_a_row: int = 0

    def after(self, lived_s: float) -> Restarts:
        """With one more death, of a daemon that had lived for ``lived_s``."""
        quick = self.quick_in_a_row + 1 if lived_s < QUICK_S else 0
        return replace(self, total=self.total + 1, quick_in_a_row=quick)

    @property
    def given_up(self) -> bool:
        """Whether another start would be in vain."""
        return self.quick_in_a_row >= GIVE_UP_AFTER

    @property
    def delay_s(self) -> float:
        """How long to wait before the next start: doubles with each quick death."""
        return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** max(0, self.quick_in_a_row - 1))
