"""Steps of time, as charts of workers and queues have them."""

from __future__ import annotations

from dataclasses import dataclass

from clearml_hpo.server.endpoint import Call
from clearml_hpo.server.errors import ApiRefusal, Refusal
from clearml_hpo.server.fields import EXACT_INT, NUMBER, Fields, required, within

PERIOD: Fields = {
    "from_date": required(NUMBER),
    "to_date": required(NUMBER),
    "interval": required(within(EXACT_INT, 1)),
}
_MOST, _LONGEST_S = 10_000, 2**40


@dataclass(frozen=True)
class Steps:
    """Equal steps of time, in milliseconds since the epoch."""

    start: int
    end: int
    size: int

    @property
    def dates(self) -> list[int]:
        """Where each begins."""
        return list(range(self.start, self.end, self.size))


def steps_of(call: Call) -> Steps:
    """The steps that a call asks for, in seconds; they begin at multiples of their size."""
    size = min(call.get("interval", 60), _LONGEST_S)
    if size < 1:
        raise ApiRefusal(Refusal.VALIDATION, "error for field 'interval': must be 1 or more")
    first, last = int(call.data["from_date"]) // size, int(call.data["to_date"]) // size
    if first > last:
        raise ApiRefusal(Refusal.INVALID_VALUE, "from_date must be less than to_date")
    if first < 0 or not 0 <= last - first <= _MOST or last * size >= 2**50:
        raise ApiRefusal(
            Refusal.VALIDATION, f"error for field 'to_date': from_date to to_date must be 0 to {_MOST} intervals"
        )
    return Steps(first * size * 1000, last * size * 1000, size * 1000)
