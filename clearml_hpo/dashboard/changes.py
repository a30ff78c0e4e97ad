"""What a page's script asks for again and again: all that has changed since a version, as JSON."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Mapping
from typing import Any

from clearml_hpo.backend.scalars import Curve
from clearml_hpo.dashboard.reading import StudyReader
from clearml_hpo.dashboard.seen import Seen
from clearml_hpo.report.figures.plot import evenly, rounded

_POINTS = 30  # of a live curve, which is 100 pixels wide


class Changes:
    """The texts for one study: made once for all browsers that have the same version."""

    def __init__(self) -> None:
        self._version = 0
        self._texts: dict[int, str] = {}
        self._making = threading.Lock()

    def text(self, reader: StudyReader, since: int) -> str:
        """JSON with what has changed after version ``since``; with all of it after 0."""
        seen = reader.seen()
        with self._making:
            if seen.version > self._version:
                self._version, self._texts = seen.version, {}
            if since not in self._texts:
                self._texts[since] = to_json(_changes(reader, seen, since))
            return self._texts[since]


def to_json(value: Any) -> str:
    """JSON, in which NaN and infinity, which JSON does not have, are texts."""
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), separators=(",", ":"))


def _changes(reader: StudyReader, seen: Seen, since: int) -> Mapping[str, Any]:
    return {
        "version": seen.version,
        "plotted": seen.plotted,
        "at": seen.at,
        "head": {**seen.head, "problem": seen.problem},
        "is_whole": reader.rows.is_whole(since),
        "rows": reader.rows.changed(since),
        "count": reader.rows.count,
        **({"curves": {task: _thin(curve) for task, curve in seen.curves.items()}} if since < seen.curved else {}),
    }


def _thin(curve: Curve) -> list[tuple[int, float]]:
    points = evenly(curve, _POINTS)
    return [(step, value) for (step, _), value in zip(points, rounded(value for _, value in points), strict=True)]


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return value
