"""What happens in a study that is worth a message, and what the message says."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from clearml_hpo.core.goal import Goal
from clearml_hpo.core.trial import Trial, TrialState, best_trial, pareto_front
from clearml_hpo.views.display import clock as as_clock
from clearml_hpo.views.display import short_params

_PERIOD_S = 60.0
"""Least time between two messages on the same event, such as a new best; the latest one is sent."""

_LONGEST_REASON = 500  # characters


@dataclass(frozen=True)
class About:
    """The study that messages are about."""

    study: str
    study_id: str = ""
    project: str = ""
    url: str = ""


@dataclass(frozen=True)
class Message:
    """A message on one event.

    Attributes:
        event: its name, as in the study file; or ``test``.
        title: a line.
        text: a few lines, without the page's address.
        at: seconds since the epoch.
        facts: what else is known, as JSON can say it.
    """

    event: str
    title: str
    text: str
    about: About
    at: float
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lines(self) -> str:
        """The text, and where to look."""
        return f"{self.text}\n{self.about.url}".strip()

    @property
    def json(self) -> str:
        """All of it as a JSON object; docs/notifications.md explains its keys."""
        at = datetime.fromtimestamp(self.at, timezone.utc).isoformat(timespec="seconds")
        said = {"event": self.event, "title": self.title, "text": self.text, "at": at, **vars(self.about)}
        return json.dumps({**said, **self.facts}, default=str)


def described(events: Mapping[str, float]) -> str:
    """The events of a study file as a user writes them."""
    numbers = {"failures": lambda n: f": {n:g}", "no_worker": lambda n: f": {n:g}s"}
    return ", ".join(f"{event}{numbers.get(event, lambda n: '')(number)}" for event, number in events.items())


def sample_message(about: About, events: Mapping[str, float], at: float) -> Message:
    """What a channel is tried with."""
    text = f"This is a test of clearml-hpo: the channel works. It is told of: {described(events)}."
    return Message("test", f"{about.study}: test message", text, about, at)


class Events:
    """Finds in what a study goes through the events that are wanted.

    One that repeats within a minute is held back, and the latest of its kind is told.
    """

    def __init__(
        self,
        wanted: Mapping[str, float],
        about: About,
        goal: Goal,
        known: Iterable[Trial],
        *,
        clock: Callable[[], float],
    ) -> None:
        """``wanted``: the number of each event; ``known``: trials of earlier controllers, whose values are no news."""
        self._wanted = wanted
        self._about = about
        self._goal = goal
        self._clock = clock
        self._trials: Sequence[Trial] = sorted(known, key=lambda trial: trial.number)
        self._front = pareto_front(self._trials, goal)
        self._failures = 0
        self._served_at: float | None = None
        self._is_missed = False
        self._pending: dict[str, Message] = {}
        self._told_at: dict[str, float] = {}

    def trial(self, trial: Trial) -> None:
        """A trial has changed its state."""
        if trial.state.is_live:
            return
        self._count_failure(trial)
        front = pareto_front([*self._front, trial], self._goal)
        if trial in front:
            self._front = front
            self._better(trial)

    def progress(self, trials: Sequence[Trial], workers: Mapping[str, int]) -> None:
        """Where the study stands; ``workers``: how many serve each queue."""
        self._trials = trials
        now = self._clock()
        if any(workers.values()) or any(trial.state is TrialState.RUNNING for trial in trials):
            self._served_at, self._is_missed = now, False
            return
        if self._served_at is None:
            self._served_at = now
        limit_s = self._wanted.get("no_worker", math.inf)
        if now - self._served_at >= limit_s and not self._is_missed:
            self._is_missed = True
            queues = f" ({', '.join(workers)})" if workers else ""
            for_so_long = as_clock(now - self._served_at)
            text = f"No worker has served the study's queues{queues} for {for_so_long}; its trials wait."
            self._add("no_worker", "no worker", text, queues=list(workers))

    def ended(self, status: str, reason: str) -> None:
        """The study has ended as ``completed``, ``stopped`` or ``failed``; nothing is held back any more."""
        line = reason.partition("\n")[0][:_LONGEST_REASON]
        best = best_trial([*self._front], self._goal)
        found = f"\nbest: {self._said(best)}" if best is not None else ""
        self._told_at.clear()
        self._add("failed" if status == "failed" else "ended", status, f"{line}{found}", status=status, reason=line)

    def due(self) -> list[Message]:
        """Messages for which it is time; each is returned once."""
        now = self._clock()
        due = [event for event in self._pending if now - self._told_at.get(event, -math.inf) >= _PERIOD_S]
        self._told_at.update(dict.fromkeys(due, now))
        return [self._pending.pop(event) for event in due]

    def _count_failure(self, trial: Trial) -> None:
        if trial.state.is_failure:
            self._failures += 1
        elif trial.state in (TrialState.COMPLETED, TrialState.PRUNED, TrialState.PAUSED):
            self._failures = 0
        if self._failures and self._failures == self._wanted.get("failures") and trial.state.is_failure:
            reason = trial.reason.partition("\n")[0][:_LONGEST_REASON]
            title = f"{self._failures} failures in a row" if self._failures > 1 else "a trial failed"
            said = f"The last is trial {trial.number}, {trial.state.value}: {reason}"
            self._add("failures", title, said, in_a_row=self._failures, trial=trial.number, reason=reason)

    def _better(self, trial: Trial) -> None:
        if self._goal.is_single:
            title, more = f"new best {trial.value:.6g}", ""
        else:
            title, more = "new point on the Pareto front", f"; the front has {len(self._front)}"
        text = f"{self._said(trial)}{more}\n{short_params(trial.params)}"
        self._add("best", title, text, best=self._facts(trial))

    def _said(self, trial: Trial) -> str:
        values = zip(self._goal.objectives, trial.final_values or (), strict=False)
        return f"trial {trial.number}, {', '.join(f'{objective.metric} = {value:.6g}' for objective, value in values)}"

    def _facts(self, trial: Trial) -> dict[str, Any]:
        metrics = [objective.metric for objective in self._goal.objectives]
        values = dict(zip(metrics, trial.final_values or (), strict=False))
        return {"trial": trial.number, "task": trial.task_id, "values": values, "parameters": dict(trial.params)}

    def _add(self, event: str, title: str, text: str, **facts: Any) -> None:
        if event not in self._wanted:
            return
        best = best_trial(self._front, self._goal)
        known: dict[str, Any] = {"trials": Counter(trial.state.value for trial in self._trials)}
        known |= {"best": self._facts(best)} if best is not None else {}
        title = f"{self._about.study}: {title}"
        self._pending[event] = Message(event, title, text, self._about, self._clock(), {**known, **facts})
