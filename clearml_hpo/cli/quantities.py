"""Options whose values users write with a unit: callbacks for click."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from clearml_hpo.core.units import to_bytes, to_seconds

Callback = Callable[[click.Context, click.Parameter, str | None], Any]


def _written(read: Callable[[str], Any]) -> Callback:
    def convert(ctx: click.Context, param: click.Parameter, text: str | None) -> Any:
        try:
            return None if text is None else read(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return convert


def _seconds(text: str) -> float:
    return to_seconds(f"{text}s" if text.replace(".", "", 1).isdigit() else text)


duration = _written(_seconds)
"""Seconds of ``90``, ``90s``, ``10m``, ``1h30m``; None if the option is not given."""
size = _written(to_bytes)
"""Bytes of ``1000``, ``500K``, ``20M``; None if the option is not given."""
