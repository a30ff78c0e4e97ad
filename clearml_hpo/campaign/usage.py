"""How the resources of a campaign were used: what ran on each, while it had work and a controller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from clearml_hpo.backend.campaigns import Run

Span = tuple[float, float]
"""From when until when, in seconds since the epoch."""


@dataclass(frozen=True)
class ResourceUse:
    """How a resource was used.

    Attributes:
        takes: trials at once; of a queue the most workers that have served it at the same time.
        trials: how many it has run, attempts and first looks at templates included.
        busy_s: seconds that they took together, as far as the campaign was driven then.
        work_s: seconds in which the campaign was driven and some study that may use the resource had not ended.
        busy_share: of the time of all it takes at once, while there was work for it.
        most_at_once: how many have run at the same time.
    """

    name: str
    takes: int
    trials: int
    busy_s: float
    work_s: float
    busy_share: float
    most_at_once: int
    trials_of_model: Mapping[str, int]


def use_of(
    name: str,
    runs: Iterable[Run],
    *,
    takes: int | None,
    models: Mapping[str, str],
    driven: Sequence[Span],
    work_until: float | None,
) -> ResourceUse:
    """The use of one resource.

    Args:
        runs: what it has run, or is to run.
        takes: trials at once; None is as many as there were workers.
        models: by study.
        driven: when the campaign was driven; what a run took beyond that was not seen by anybody.
        work_until: when the last trial that might use it has ended, in seconds since the epoch; None is not yet.
    """
    ran = [run for run in runs if run.started_at is not None]
    spans = [_span(run) for run in ran]
    work = driven if work_until is None else [(since, min(until, work_until)) for since, until in driven]
    busy_s = sum(_common(span, each) for span in spans for each in work)
    work_s = sum(max(0.0, until - since) for since, until in work)
    at_once = takes or max(1, _most(_serving(ran)))
    share = min(1.0, busy_s / (at_once * work_s)) if work_s else 0.0
    of_model = dict(Counter(models[run.study_id] for run in ran))
    return ResourceUse(name, at_once, len(ran), busy_s, work_s, share, most_at_once(ran), of_model)


def most_at_once(runs: Iterable[Run]) -> int:
    """How many of these have run at the same time; one that begins at the moment another ends does not count twice."""
    return _most(_span(run) for run in runs if run.started_at is not None)


def _span(run: Run) -> Span:
    return run.started_at or 0.0, float("inf") if run.ended_at is None else run.ended_at


def _serving(runs: Iterable[Run]) -> Iterable[Span]:
    """From its first run to the end of its last one, a worker has served; one that came in its place is no second."""
    of_worker: dict[str, list[Span]] = {}
    for run in runs:
        of_worker.setdefault(run.worker, []).append(_span(run))
    return [(min(since for since, _ in spans), max(until for _, until in spans)) for spans in of_worker.values()]


def _most(spans: Iterable[Span]) -> int:
    most = now = 0
    for _, change in sorted(change for since, until in spans for change in ((since, 1), (until, -1))):
        now += change
        most = max(most, now)
    return most


def _common(one: Span, other: Span) -> float:
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
