"""What a study's page says first: state, who drives it, budgets, time left, the best so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from clearml_hpo.backend.codes import IDLE
from clearml_hpo.core.trial import TrialState, best_trial, pareto_front
from clearml_hpo.core.values import as_text
from clearml_hpo.dashboard.seen import Seen
from clearml_hpo.report.figures.plot import short, short_names
from clearml_hpo.report.summary import duration_text
from clearml_hpo.views.display import left_s

_FEWEST_FOR_RATE = 3


def head_of(seen: Seen) -> Mapping[str, Any]:
    """Plain values for the page's script, and for its first rendering.

    Returns:
        ``status``, ``reason``, ``driver``, ``counts``, ``best``, ``budgets`` (name, text, share from 0 to 1), ``facts``
        (name and text).
    """
    best = best_trial(seen.trials, seen.goal)
    labels = short_names([*best.params]) if best else {}
    counts = Counter(trial.state for trial in seen.trials)
    return {
        "status": seen.record.status,
        "reason": seen.record.reason,
        "is_over": seen.look.is_over,
        "is_driven": seen.look.progress.is_driven,
        "driver": driver_text(seen.record.holder) if seen.look.progress.is_driven else "",
        "counts": {state.value: counts[state] for state in TrialState if counts[state]},
        "best": None
        if best is None
        else {
            "number": best.number,
            "values": [*(best.final_values or ())],
            "params": {name: as_text(value) for name, value in best.params.items()},
            "shown": {labels[name]: short(value) for name, value in best.params.items()},
            "task": best.task_id,
        },
        "front": [trial.number for trial in pareto_front(seen.trials, seen.goal)],
        "budgets": [*_budgets(seen)],
        "facts": [*_facts(seen)],
    }


def driver_text(holder: str) -> str:
    """The host and the process of a controller, without since when it drives."""
    return holder.partition(" since ")[0]


def _budgets(seen: Seen) -> Iterator[Mapping[str, Any]]:
    """A bar for each limit that is set."""
    ended = sum(not trial.state.is_live for trial in seen.trials)
    for name, limit, used, is_time in (
        ("trials", seen.budget.trials, ended, False),
        ("time", seen.budget.wall_s, seen.look.progress.elapsed_s, True),
        ("compute time", seen.budget.compute_s, seen.spent.compute_s, True),
        ("GPU time", seen.budget.gpu_s, seen.spent.gpu_s, True),
        ("iterations", seen.budget.iterations, seen.spent.iterations, False),
        ("trials without improvement", seen.budget.stale_trials, seen.spent.trials_since_best, False),
        ("time without improvement", seen.budget.stale_s, seen.spent.s_since_best, True),
    ):
        if limit:
            texts = [duration_text(amount) if is_time else f"{amount:,}" for amount in (used, limit)]
            yield {"name": name, "text": f"{texts[0]} of {texts[1]}", "share": round(min(1.0, used / limit), 4)}


def _facts(seen: Seen) -> Iterator[tuple[str, str]]:
    progress = seen.look.progress
    running = sum(trial.state is TrialState.RUNNING for trial in seen.trials)
    rate = _per_hour(seen)
    left = left_s(progress, progress.elapsed_s)
    yield "slots", f"{running} of {progress.workers} busy" if progress.workers else f"{running} busy"
    if rate is not None:
        yield "trials per hour", f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
    if left is not None and progress.is_driven:
        yield "time left", f"about {duration_text(left)}"
    yield "driven for", duration_text(progress.elapsed_s)
    by = "its gateway, at the next ask" if seen.record.reason.startswith(IDLE) else "none"
    yield "driven by", driver_text(seen.record.holder) if progress.is_driven else by


def _per_hour(seen: Seen) -> float | None:
    """Trials that ended, by the hour that it was driven."""
    ended = sum(not trial.state.is_live for trial in seen.trials)
    elapsed_s = seen.look.progress.elapsed_s
    return ended / elapsed_s * 3600 if ended >= _FEWEST_FOR_RATE and elapsed_s > 0 else None
