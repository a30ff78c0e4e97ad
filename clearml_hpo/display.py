"""What a person sees of a running study: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from clearml_hpo.objective import Goal
from clearml_hpo.search_space import Value, as_text
from clearml_hpo.trial import Trial, TrialState, best_trial, pareto_front

_RECENT = 6
_RUNNING = 8
_STYLE = {
    TrialState.COMPLETED: "green",
    TrialState.PRUNED: "magenta",
    TrialState.FAILED: "red",
    TrialState.LOST: "red",
    TrialState.NO_OBJECTIVE: "red",
    TrialState.NOT_FINITE: "red",
    TrialState.ABORTED: "yellow",
    TrialState.STOPPED: "yellow",
}


@dataclass(frozen=True)
class Progress:
    """A study at one moment.

    Attributes:
        budget: trials in all, if that is limited.
        workers: how many can run at once.
        elapsed_s: since the study started.
    """

    trials: Sequence[Trial]
    workers: int
    elapsed_s: float
    budget: int | None = None


class View(Protocol):
    """What a run tells a person; implemented by ``LiveView`` and ``LineView``."""

    def __enter__(self) -> View:
        """Takes the screen."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives it back."""

    def note(self, text: str) -> None:
        """Something worth a line."""

    def trial(self, trial: Trial) -> None:
        """A trial changed its state."""

    def progress(self, progress: Progress) -> None:
        """Where the study stands."""


def view_for(console: Console, study: str, goal: Goal) -> View:
    """A live view if the console is a terminal, else lines."""
    return LiveView(console, study, goal) if console.is_terminal else LineView(console, goal)


class LineView:
    """One line for each thing that happens; for logs and pipes."""

    def __init__(self, console: Console, goal: Goal) -> None:
        self._console = console
        self._goal = goal
        self._front: list[Trial] = []

    def __enter__(self) -> LineView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def note(self, text: str) -> None:
        """Prints it."""
        self._line(text)

    def trial(self, trial: Trial) -> None:
        """Prints trials that start and end."""
        if trial.state is TrialState.RUNNING:
            self._line(f"trial {trial.number} runs on {trial.worker or '?'}: {short_params(trial.params)}")
        elif not trial.state.is_live:
            parts = [f"trial {trial.number} {trial.state.value}"]
            parts += [
                f"{objective.metric} {value:.6g}"
                for objective, value in zip(self._goal.objectives, trial.values, strict=False)
                if value is not None
            ]
            if self._is_best(trial):
                parts[-1] += " (best so far)"
            if trial.duration is not None:
                parts.append(f"{trial.duration:.1f} s")
            if trial.reason:
                parts.append(trial.reason)
            self._line(", ".join(parts))

    def progress(self, progress: Progress) -> None:
        """Nothing: the trials' own lines say it."""

    def _is_best(self, trial: Trial) -> bool:
        """Whether it is the best so far, or of the Pareto front."""
        front = pareto_front([*self._front, trial], self._goal)
        is_new = trial in front
        self._front = front
        return is_new

    def _line(self, text: str) -> None:
        self._console.print(f"{time.strftime('%H:%M:%S')}  {text}", markup=False, highlight=False, soft_wrap=True)


class LiveView:
    """Progress, running trials, the best and the recent ones, redrawn in place."""

    def __init__(self, console: Console, study: str, goal: Goal) -> None:
        self._console = console
        self._study = study
        self._goal = goal
        self._progress = Progress((), 0, 0.0)
        self._drawn_at = time.monotonic()
        self._recent: list[int] = []
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=True)

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def note(self, text: str) -> None:
        """Prints it above the view."""
        self._console.print(Text(text, style="dim"), soft_wrap=True)

    def trial(self, trial: Trial) -> None:
        """Remembers in which order trials ended."""
        if not trial.state.is_live:
            self._recent = [trial.number, *self._recent][:_RECENT]

    def progress(self, progress: Progress) -> None:
        """Shows it at the next redraw."""
        self._progress = progress
        self._drawn_at = time.monotonic()

    def _render(self) -> RenderableType:
        progress = self._progress
        elapsed_s = progress.elapsed_s + time.monotonic() - self._drawn_at
        by_number = {trial.number: trial for trial in progress.trials}
        running = [t for t in progress.trials if t.state is TrialState.RUNNING]
        parts: list[RenderableType] = [
            Text.assemble((self._study, "bold"), f"  {_aims(self._goal)}"),
            _bar(progress, elapsed_s),
            self._best_line(progress),
        ]
        if running:
            parts.append(self._running_table(running))
        recent = [by_number[number] for number in self._recent if number in by_number]
        if recent:
            parts.append(trial_table(recent, self._goal, title="recent"))
        return Group(*parts)

    def _best_line(self, progress: Progress) -> Text:
        best = best_trial(progress.trials, self._goal)
        if best is None or best.value is None:
            return Text("best  none yet", style="dim")
        line = Text.assemble("best  ", (f"{best.value:.6g}", "bold green"), f"  trial {best.number}")
        first = progress.trials[0]
        if first.state is TrialState.COMPLETED and first.value is not None and best is not first:
            line.append(f"  (trial 0: {first.value:.6g})", style="dim")
        return line

    def _running_table(self, running: Sequence[Trial]) -> Table:
        table = _table("running")
        for name, justify in (("trial", "right"), ("since", "right"), ("iteration", "right"), ("value", "right")):
            table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
        table.add_column("worker", no_wrap=True)
        table.add_column("parameters", no_wrap=True, overflow="ellipsis", ratio=1)
        for trial in running[:_RUNNING]:
            since = max(0.0, time.time() - trial.started_at) if trial.started_at else 0.0
            table.add_row(
                str(trial.number),
                clock(since),
                str(trial.iteration),
                _number(trial),
                trial.worker,
                short_params(trial.params),
            )
        return table


def trial_table(trials: Sequence[Trial], goal: Goal, *, title: str = "") -> Table:
    """Trials, one a row, in the order given."""
    table = _table(title)
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for objective in goal.objectives:
        table.add_column(objective.series, justify="right", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("parameters", no_wrap=True, overflow="ellipsis", ratio=1)
    for trial in trials:
        table.add_row(
            str(trial.number),
            Text(trial.state.value, style=_STYLE.get(trial.state, "")),
            *(_number(trial, index) for index in range(len(goal.objectives))),
            "" if trial.duration is None else f"{trial.duration:.1f} s",
            trial.reason if _STYLE.get(trial.state) == "red" else short_params(trial.params),
        )
    return table


def short_params(params: Mapping[str, Value]) -> str:
    """``depth=6 learning_rate=0.12``: without sections, numbers to three digits."""
    return " ".join(f"{name.rpartition('/')[2]}={_short(value)}" for name, value in params.items())


def clock(seconds: float) -> str:
    """``0:07``, ``12:34``, ``1:02:03``."""
    whole = int(seconds)
    minutes = f"{whole // 60 % 60:02d}" if whole >= 3600 else str(whole // 60)
    return (f"{whole // 3600}:" if whole >= 3600 else "") + f"{minutes}:{whole % 60:02d}"


def _bar(progress: Progress, elapsed_s: float) -> Table:
    ended = sum(1 for trial in progress.trials if not trial.state.is_live)
    waiting = sum(1 for trial in progress.trials if trial.state is TrialState.QUEUED)
    row = Table.grid(padding=(0, 2))
    cells: list[RenderableType] = [
        f"{ended}/{progress.budget} trials" if progress.budget else f"{ended} trials",
        clock(elapsed_s),
    ]
    if progress.budget:
        cells.insert(0, ProgressBar(total=progress.budget, completed=ended, width=24))
        if 0 < ended < progress.budget:
            cells.append(f"ETA {clock(elapsed_s / ended * (progress.budget - ended))}")
    cells.append(f"{progress.workers} worker{'' if progress.workers == 1 else 's'}, {waiting} waiting")
    row.add_row(*cells)
    return row


def _aims(goal: Goal) -> str:
    return "; ".join(f"{objective.metric}, {objective.direction}" for objective in goal.objectives)


def _number(trial: Trial, index: int = 0) -> str:
    """Its value of that objective, if there is one yet."""
    value = trial.values[index] if index < len(trial.values) else None
    return "" if value is None else f"{value:.5g}"


def _table(title: str) -> Table:
    return Table(title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False, expand=True)


def _short(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else as_text(value)
