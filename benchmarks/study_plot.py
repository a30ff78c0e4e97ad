"""The plot of the study benchmark: a small SVG, so that no library for pictures is needed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Band = Sequence[tuple[float, float, float, float]]
"""Seconds, and from then on the median, the least and the most."""
COLORS = {
    "ours": "#0b6e4f",
    "ours-unpruned": "#58b368",
    "stock": "#c0392b",
    "stock-12s": "#e08e0b",
    "optuna": "#2c6fbb",
    "ray": "#7d3c98",
}
NAMES = {
    "ours": "clearml-hpo run --local",
    "ours-unpruned": "the same, pruner: none",
    "stock": "ClearML's optimizer, defaults",
    "stock-12s": "ClearML's optimizer, polling every 12 s",
    "optuna": "Optuna alone",
    "ray": "Ray Tune, ASHA",
}
WIDTH, HEIGHT = 940, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 370, 20, 50
_TICKS_S = (1, 2, 5, 10, 20, 30, 60, 120, 180, 300, 600, 1200, 1800, 3600)
_ROWS = 5
_WORST_SHARE = 0.5  # of the plotted range that may lie above the last side's final median


def draw(bands: Mapping[str, Band], wall_s: float) -> str:
    """The best value over time: a line for the median of each side, a band from the least to the most.

    Args:
        bands: by side, in the order of the legend; a side without values is named, and has no line.
        wall_s: seconds that a run took.
    """
    shown = [band for band in bands.values() if band]
    first = min((band[0][0] for band in shown), default=1.0)
    lowest = min((band[-1][2] for band in shown), default=0.0)
    worst = max((band[-1][1] for band in shown), default=1.0)
    highest = worst + _WORST_SHARE * (worst - lowest) if worst > lowest else lowest + 1.0

    def x(seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(seconds / first) / math.log(wall_s / first)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (highest - min(value, highest)) / (highest - lowest)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="13"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    ]
    for seconds in [tick for tick in _TICKS_S if first <= tick <= wall_s]:
        parts.append(_line(x(seconds), TOP, x(seconds), HEIGHT - BOTTOM))
        parts.append(_label(x(seconds), HEIGHT - BOTTOM + 18, _duration(seconds), "middle"))
    for row in range(_ROWS + 1):
        value = lowest + (highest - lowest) * row / _ROWS
        parts.append(_line(LEFT, y(value), WIDTH - RIGHT, y(value)))
        parts.append(_label(LEFT - 8, y(value) + 4, f"{value:.3f}", "end"))
    parts.append(_label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "wall time since the command (logarithmic)", "middle"))
    for row, (side, band) in enumerate(bands.items()):
        color, name = COLORS[side], NAMES[side]
        if band:
            medians = _steps([(x(when), y(median)) for when, median, _, _ in band])
            least = _steps([(x(when), y(low)) for when, _, low, _ in band])
            most = _steps([(x(when), y(high)) for when, _, _, high in band])
            parts.append(f'<polygon points="{_points([*least, *most[::-1]])}" fill="{color}" opacity="0.12"/>')
            parts.append(f'<polyline points="{_points(medians)}" fill="none" stroke="{color}" stroke-width="2.2"/>')
            name = f"{name}: {band[-1][1]:.4f}"
        at = TOP + 16 + 22 * row
        parts.append(_line(WIDTH - RIGHT + 12, at - 4, WIDTH - RIGHT + 32, at - 4, color, 3))
        parts.append(_label(WIDTH - RIGHT + 38, at, name, "start"))
    parts.append(
        _label(WIDTH - RIGHT + 12, TOP + 26 + 22 * len(bands), "validation log loss; lower is better", "start")
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _steps(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A value holds until the next one."""
    found = list(points[:1])
    for at, value in points[1:]:
        found += [(at, found[-1][1]), (at, value)]
    return found


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{at:.1f},{value:.1f}" for at, value in points)


def _line(x1: float, y1: float, x2: float, y2: float, color: str = "#dddddd", width: float = 1) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{color}" stroke-width="{width}"/>'


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#333333">{escape(text)}</text>'


def _duration(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 60 else f"{seconds / 60:g} min"
