"""Durations, sizes and counts as users write and read them."""

from __future__ import annotations

import re

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def to_seconds(text: object) -> float:
    """Seconds of ``90s``, ``10m``, ``2h``, ``1d``, ``1h30m``.

    Raises:
        ValueError: it is none of these.
    """
    if not isinstance(text, str) or not re.fullmatch(r"(\d+(\.\d+)?[smhd])+", text, re.ASCII):
        raise ValueError(f"{text!r} is no duration; write seconds, or 90s, 10m, 2h, 1d, 1h30m")
    return sum(float(n) * _SECONDS[unit] for n, _, unit in re.findall(r"(\d+(\.\d+)?)([smhd])", text))


def to_bytes(text: str) -> int:
    """Bytes of ``1000``, ``500K``, ``20M``, ``1.5G``, ``2T``.

    Raises:
        ValueError: it is none of these.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?)i?B?", text, re.ASCII | re.IGNORECASE)
    if not found:
        raise ValueError(f"{text!r} is no size; write bytes, or 500K, 20M, 1.5G, 2T")
    return int(float(found[1]) * _BYTES[found[2].upper()])


def counted(number: int, what: str) -> str:
    """``1 parameter``, ``2 parameters``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
