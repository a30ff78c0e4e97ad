"""Time, as the API writes it; the clock itself is passed in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time now."""
    return datetime.now(timezone.utc)


def precise(moment: datetime) -> str:
    """ISO time with microseconds, as answers to actions carry it."""
    return moment.isoformat(timespec="microseconds")


def stored(moment: datetime) -> str:
    """ISO time cut to milliseconds, as documents carry it; sorts as text."""
    return precise(moment.replace(microsecond=moment.microsecond // 1000 * 1000))


def parse(text: str) -> datetime:
    """The time that ``text`` names; UTC where it names no zone.

    Raises:
        ValueError: if ``text`` is no ISO time.
    """
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def is_time(text: str) -> bool:
    """Whether a text names a time."""
    try:
        parse(text)
    except ValueError:
        return False
    return True


def milliseconds(moment: datetime) -> int:
    """Milliseconds since the epoch, as events carry their time."""
    return int(moment.timestamp() * 1000)


def from_milliseconds(timestamp: float) -> datetime:
    """The inverse of :func:`milliseconds`."""
    return datetime.fromtimestamp(timestamp / 1000, timezone.utc)
