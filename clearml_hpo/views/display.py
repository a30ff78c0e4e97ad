"""What a user sees of a running study: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from clearml_hpo.core.best_effort import BestEffort
from clearml_hpo.core.goal import Goal
from clearml_hpo.core.notes import Level, Note
from clearml_hpo.core.rungs import rungs_text
from clearml_hpo.core.trial import Trial, TrialState, pareto_front
from clearml_hpo.core.values import Value, as_text
from clearml_hpo.views.screen import Lines, Redrawn, Screen

_RECENT = 6
_RUNNING = 8
_OTHER_LINES = 17  # of a screen, beside the running trials
_WORKER = 20
_OF_A_RUN = re.compile(r"^run-\d+-")  # agents that `run --local` starts
_METRIC = 12
_STARTING, _IDLE = "starting", "idle"
_STYLE = {
    TrialState.COMPLETED: "green",
    TrialState.PRUNED: "magenta",
    TrialState.PAUSED: "cyan",
    TrialState.FAILED: "red",
    TrialState.KILLED: "red",
    TrialState.LOST: "red",
    TrialState.NO_OBJECTIVE: "red",
    TrialState.NOT_FINITE: "red",
    TrialState.ABORTED: "dark_orange3",  # yellow cannot be read on a light background
    TrialState.STOPPED: "dark_orange3",
}


@dataclass(frozen=True)
class Progress:
    """A study at one moment.

    Attributes:
        budget: trials in all, if that is limited.
        workers: how many can run at once.
        elapsed_s: since the study started.
        queues: how many each queue can run at once; shown if there are several.
        earlier: attempts that were followed by another one.
        stranded: planned attempts that may only go to queues that no worker serves.
        time_budget_s: for how long a controller may drive the study, if that is limited.
        is_driven: whether a controller drives it now.
        outlook: what a further trial is expected to gain, if the study ends by that.
    """

    trials: Sequence[Trial]
    workers: int
    elapsed_s: float
    budget: int | None = None
    queues: Mapping[str, int] = field(default_factory=dict)
    earlier: Sequence[Trial] = ()
    stranded: int = 0
    time_budget_s: float | None = None
    is_driven: bool = True
    outlook: str = ""


class View(Screen, Protocol):
    """What a run tells a user; implemented by ``LiveView`` and ``LineView``."""

    def trial(self, trial: Trial) -> None:
        """A trial changed its state."""

    def progress(self, progress: Progress) -> None:
        """Where the study stands."""


def view_for(console: Console, study: str, goal: Goal) -> View:
    """A live view if the console is a terminal, else lines."""
    return LiveView(console, study, goal) if console.is_terminal else LineView(console, goal)


class LineView(Lines):
    """One line for each thing that happens; for logs and pipes."""

    def __init__(self, console: Console, goal: Goal) -> None:
        super().__init__(console)
        self._goal = goal
        self._front: list[Trial] = []

    def trial(self, trial: Trial) -> None:
        """Prints trials that start and end."""
        line = self.line(trial)
        if line:
            self.note(line)

    def line(self, trial: Trial) -> Note | None:
        """What is to be said of a trial that starts or ends; else nothing."""
        text = self._text(trial)
        level: Level = "warning" if trial.state.is_failure else "info"
        ids: dict[str, str | int] = {"trial": trial.number, "attempt": trial.attempt, "task": trial.task_id}
        return Note(text, level, **ids, state=trial.state.value) if text else None

    def _text(self, trial: Trial) -> str:
        if trial.state is TrialState.RUNNING:
            return f"{_name(trial)} runs on {short_worker(trial.worker) or '?'}: {short_params(trial.params)}"
        if trial.state.is_live:
            return ""
        values = zip(self._goal.objectives, trial.values, strict=False)
        at = f" at {trial.length}" if trial.length else ""
        found = [
            f"{_name(trial)} {trial.state.value}{at}",
            *(f"{o.metric} {v:.6g}" for o, v in values if v is not None),
        ]
        duration = "" if trial.duration is None else f"{trial.duration:.1f} s"
        return ", ".join(filter(None, [f"{', '.join(found)}{self._rank(trial)}", duration, trial.reason]))

    def _rank(self, trial: Trial) -> str:
        """What its values are worth, in brackets; empty if that is nothing special."""
        if self._is_best(trial):
            return " (best so far)" if self._goal.is_single else f" (front of {len(self._front)})"
        return "" if trial.final_values is None or trial.is_feasible else " (breaks a constraint)"

    def progress(self, progress: Progress) -> None:
        """Remembers the best of a study that goes on; the trials' own lines say the rest."""
        if not self._front:
            self._front = pareto_front(progress.trials, self._goal)

    def _is_best(self, trial: Trial) -> bool:
        """Whether it is the best so far, or of the Pareto front."""
        front = pareto_front([*self._front, trial], self._goal)
        is_new = trial in front
        self._front = front
        return is_new


class ToldView(LineView):
    """Another view, and what is worth a line for ``tell`` too."""

    def __init__(self, view: View, goal: Goal, tell: Callable[[str], None]) -> None:
        """Nothing is printed by itself; the caller that has given ``view`` takes the screen with it."""
        super().__init__(Console(quiet=True), goal)
        self._view = view
        self._tell = tell
        self._effort = BestEffort(tell)

    def note(self, text: str) -> None:
        """Passes it on."""
        self._show(lambda: self._view.note(text))
        self._tell(text)

    def trial(self, trial: Trial) -> None:
        """Passes it on; as a line if it starts or ends."""
        self._show(lambda: self._view.trial(trial))
        line = self._effort.attempt("a line on a trial is missing", lambda: self.line(trial))
        if line:
            self._tell(line)

    def progress(self, progress: Progress) -> None:
        """Passes it on."""
        self._show(lambda: super(ToldView, self).progress(progress))
        self._show(lambda: self._view.progress(progress))

    def _show(self, draw: Callable[[], None]) -> None:
        self._effort.attempt("the screen is behind", draw)


class LiveView(Redrawn):
    """Progress, workers and what they run, the best and the recent trials, redrawn in place."""

    def __init__(self, console: Console, study: str, goal: Goal, clock: Callable[[], float] = time.time) -> None:
        super().__init__(console, per_second=4)
        self._study = study
        self._goal = goal
        self._clock = clock
        self._progress = Progress((), 0, 0.0)
        self._drawn_at = self._clock()
        self._recent: list[Trial] = []
        self._front: list[Trial] = []

    def trial(self, trial: Trial) -> None:
        """Remembers in which order trials ended."""
        if not trial.state.is_live:
            self._recent = [trial, *(t for t in self._recent if t.task_id != trial.task_id)][:_RECENT]

    def progress(self, progress: Progress) -> None:
        """Shows it at the next redraw."""
        if _ended(progress) != _ended(self._progress):
            self._front = pareto_front(progress.trials, self._goal)
        if not self._recent:  # of a study that goes on, or is looked at from elsewhere
            self._recent = _last_ended((*progress.earlier, *progress.trials))[:_RECENT]
        self._progress = progress
        self._drawn_at = self._clock()

    def render(self) -> RenderableType:
        """The view as it is now."""
        progress = self._progress
        passed_s = self._clock() - self._drawn_at if progress.is_driven else 0.0
        elapsed_s = progress.elapsed_s + passed_s
        parts: list[RenderableType] = [
            Text.assemble((self._study, "bold"), f"  {_aims(self._goal)}"),
            _bar(progress, elapsed_s),
            *_queues(progress),
            *_ends(progress, elapsed_s, self._clock()),
            *_last_failure(progress),
            *([self._best_line(progress)] if self._goal.is_single else self._front_lines()),
            *([Text(f"outlook  {progress.outlook}")] if progress.outlook else []),
        ]
        running = [t for t in progress.trials if t.state is TrialState.RUNNING]
        idle = _idle(progress)
        if running or idle:
            parts.append(self._running_table(running, idle))
        if self._recent:
            parts.append(trial_table(self._recent, self._goal, title="recent"))
        return Group(*parts)

    def _best_line(self, progress: Progress) -> Text:
        if not self._front:
            return Text("best  none yet", style="dim")
        best = self._front[0]
        line = Text.assemble("best  ", (_number(best, digits=6), "bold green"), f"  trial {best.number}")
        first = progress.trials[0]
        if first.state is TrialState.COMPLETED and first.value is not None and best.number != first.number:
            line.append(f"  (trial 0: {first.value:.6g})", style="dim")
        return line

    def _front_lines(self) -> list[Text]:
        """How many trials the Pareto front has, and the best of it in each objective."""
        if not self._front:
            return [Text("front none yet", style="dim")]
        lines = [Text(f"front {len(self._front)} trial{'s' * (len(self._front) > 1)}")]
        for index, title in enumerate(_titles(self._goal)):
            pick = min if self._goal.objectives[index].direction == "minimize" else max
            values = [(trial.final_values or ())[index] for trial in self._front]
            best = self._front[values.index(pick(values))]
            value = _number(best, index, digits=6)
            lines.append(Text.assemble("best  ", (value, "bold green"), f"  {title}, trial {best.number}"))
        return lines

    def _running_table(self, running: Sequence[Trial], idle: Sequence[tuple[str, float | None, str]]) -> Table:
        """A row for each worker: what it runs and since when, or since when it runs nothing."""
        rows = max(_RUNNING, self._console.height - _OTHER_LINES)
        table = _table(f"running, {rows} of {len(running)}" if len(running) > rows else "running")
        titles = ["value"] if self._goal.is_single else _titles(self._goal)
        for name in ("trial", "since", "iteration"):
            table.add_column(name, justify="right", no_wrap=True)
        for title in titles:
            table.add_column(Text(title), justify="right", no_wrap=True, max_width=_METRIC)
        table.add_column("worker", no_wrap=True)
        table.add_column("parameters", no_wrap=True, overflow="ellipsis", ratio=1)
        for trial in running[:rows]:
            table.add_row(
                _attempt(trial),
                clock(max(0.0, self._clock() - trial.started_at) if trial.started_at else 0.0),
                str(trial.iteration),
                *(_number(trial, index) for index in range(len(titles))),
                Text(short_worker(trial.worker)),
                Text(short_params(trial.params)),
            )
        for worker, since, what in idle[: max(0, rows - len(running))]:
            empty = [""] * (len(titles) + 1)
            waited = "" if since is None else clock(max(0.0, self._clock() - since))
            table.add_row("", waited, *empty, Text(short_worker(worker)), Text(what), style="dim")
        return table


def trial_table(trials: Sequence[Trial], goal: Goal, *, title: str = "") -> Table:
    """Trials, one a row, in the order given; ``7:2`` is the second attempt of trial 7."""
    table = _table(title)
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for metric in _titles(goal):
        table.add_column(Text(metric), justify="right", no_wrap=True, max_width=None if goal.is_single else _METRIC)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("parameters", no_wrap=True, overflow="ellipsis", ratio=1)
    for trial in trials:
        table.add_row(
            _attempt(trial),
            Text(trial.state.value, style=_STYLE.get(trial.state, "")),
            *(_number(trial, index) for index in range(len(goal.objectives))),
            "" if trial.duration is None else f"{trial.duration:.1f} s",
            _remark(trial),
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


def _remark(trial: Trial) -> Text:
    """Why it has no value; else its parameters."""
    if _STYLE.get(trial.state) == "red" and trial.reason:
        return Text(trial.reason.partition("\n")[0])
    params = Text(short_params(trial.params))
    if trial.state is TrialState.COMPLETED and not trial.is_feasible:
        return Text.assemble(("breaks a constraint  ", "red"), params)
    return params


def _name(trial: Trial) -> str:
    return f"trial {trial.number}" + f" (attempt {trial.attempt})" * (trial.attempt > 1)


def _attempt(trial: Trial) -> str:
    return f"{trial.number}" + f":{trial.attempt}" * (trial.attempt > 1)


def short_worker(worker: str) -> str:
    """``node-1:gpu2`` of ``node-1.example.com:gpu2``, ``node-1:local-3f9c2a-1234:gpu2`` and ``node-1:run-1234-gpu2``.

    Of a Dask worker its name; of a long name its end.
    """
    host, *middle, slot = worker.split(":") if ":" in worker else ("", worker)
    slot = _OF_A_RUN.sub("", slot)
    if not host.replace(".", "").isdecimal():
        host = host.partition(".")[0]
    if any(part.startswith("dask-") for part in middle):
        host, middle = "", []
    for parts in ((host, *middle, slot), (host, slot)):
        short = ":".join(filter(None, parts))
        if len(short) <= _WORKER:
            return short
    return f"…{short[1 - _WORKER :]}"


def _titles(goal: Goal) -> list[str]:
    """A short name of each objective."""
    series = [objective.series for objective in goal.objectives]
    return [o.series if series.count(o.series) == 1 else o.title for o in goal.objectives]


def _ended(progress: Progress) -> int:
    return sum(not trial.state.is_live for trial in progress.trials)


def _last_ended(trials: Iterable[Trial]) -> list[Trial]:
    """Those whose end has a time, the last one first."""
    ended = [trial for trial in trials if not trial.state.is_live and trial.ended_at is not None]
    return sorted(ended, key=lambda trial: trial.ended_at or 0.0, reverse=True)


def _idle(progress: Progress) -> list[tuple[str, float | None, str]]:
    """Workers without a trial, since when, and what they do; those that have run none of the study yet have no name.

    A trial that waits beside a worker without one begins there: its process starts, or libraries are imported.
    """
    found: list[tuple[str, float | None, str]] = []
    busy = {trial.worker for trial in progress.trials if trial.state is TrialState.RUNNING}
    last = [trial for trial in _last_ended((*progress.earlier, *progress.trials)) if trial.worker not in {"", *busy}]
    is_only = len(progress.queues) == 1
    for queue, workers in progress.queues.items():
        states = Counter(trial.state for trial in progress.trials if is_only or trial.queue == queue)
        free = _since([trial for trial in last if is_only or trial.queue == queue])
        number = max(0, workers - states[TrialState.RUNNING])
        unnamed = max(0, number - len(free))
        starting = min(unnamed, states[TrialState.QUEUED])
        left = states[TrialState.QUEUED] - starting
        named = [*free.items()][:number]
        found += [(worker, since, _STARTING if i < left else _IDLE) for i, (worker, since) in enumerate(named)]
        unnamed_ones = ((starting, _STARTING), (unnamed - starting, _IDLE))
        found += [(f"{n} of {queue}", None, what) for n, what in unnamed_ones if n]
    return found


def _since(last: Iterable[Trial]) -> dict[str, float | None]:
    """When each worker ended its last trial; of each the first one counts."""
    found: dict[str, float | None] = {}
    for trial in last:
        found.setdefault(trial.worker, trial.ended_at)
    return found


def _queues(progress: Progress) -> list[Text]:
    """How many workers each of several queues has; whether a controller drives the study."""
    if not progress.is_driven:
        return [Text("no controller drives the study", style="red")]
    if len(progress.queues) < 2:
        return []
    line = Text("queues")
    for index, (queue, workers) in enumerate(progress.queues.items()):
        text = f"{',' * (index > 0)} {queue} {workers or 'no workers'}"
        line.append(text, style="" if workers else "red")
    if progress.stranded:
        line.append(f"  {progress.stranded} more wait for workers", style="red")
    return [line]


def _ends(progress: Progress, elapsed_s: float, now: float) -> list[Text]:
    """How many trials ended how, and how many an hour; and how the attempts ended that were run again."""
    counts = Counter(trial.state for trial in progress.trials if not trial.state.is_live)
    line = Text("ended")
    for state in TrialState:
        if counts[state]:
            line.append(f"{',' * (len(line) > 5)} {counts[state]} ").append(state.value, style=_STYLE.get(state, ""))
    rate = trials_per_hour(progress.trials, elapsed_s, now)
    if rate:
        line.append(f"  {rate:,.0f} an hour" if rate >= 10 else f"  {rate:.1f} an hour")
    again = Counter(a.state.value for a in progress.earlier if a.state is not TrialState.PAUSED)
    lines = [line] if counts else []
    if rungs := rungs_text(progress.trials, progress.earlier):
        lines.append(Text(f"lengths {rungs}"))
    return lines + [Text("again " + ", ".join(f"{n} {state}" for state, n in again.items()))] * bool(again)


def trials_per_hour(trials: Iterable[Trial], elapsed_s: float, now: float) -> float:
    """Trials that ended in the last hour, or since the study started, by the hour."""
    window_s = min(elapsed_s, 3600.0)
    if window_s <= 0:
        return 0.0
    ended = [trial.ended_at for trial in trials if not trial.state.is_live and trial.ended_at is not None]
    return sum(at > now - window_s for at in ended) / window_s * 3600


def _last_failure(progress: Progress) -> list[Text]:
    """The last trial that failed, and why."""
    failed = [t for t in (*progress.earlier, *progress.trials) if _STYLE.get(t.state) == "red" and t.reason]
    if not failed:
        return []
    last = max(failed, key=lambda trial: trial.ended_at or 0.0)
    reason = last.reason.partition("\n")[0]
    text = Text.assemble(("failed", "red"), f" trial {_attempt(last)}: {reason}", no_wrap=True, overflow="ellipsis")
    return [text]


def _bar(progress: Progress, elapsed_s: float) -> Table:
    ended = _ended(progress)
    waiting = sum(1 for trial in progress.trials if trial.state is TrialState.QUEUED)
    row = Table.grid(padding=(0, 2))
    cells: list[RenderableType] = [
        f"{ended}/{progress.budget} trials" if progress.budget else f"{ended} trials",
        clock(elapsed_s),
    ]
    if progress.budget:
        cells.insert(
            0,
            ProgressBar(total=progress.budget, completed=ended, width=24, style="bright_black", complete_style="green"),
        )
    rest_s = left_s(progress, elapsed_s)
    if rest_s is not None and progress.is_driven:
        cells.append(f"ETA {clock(rest_s)}")
    cells.append(f"{progress.workers} worker{'' if progress.workers == 1 else 's'}, {waiting} waiting")
    row.add_row(*cells)
    return row


def left_s(progress: Progress, elapsed_s: float) -> float | None:
    """Seconds until the budget of trials or of time is used up, whichever comes first; None if neither tells."""
    left, ended = [], _ended(progress)
    if progress.budget and 0 < ended < progress.budget:
        left.append(elapsed_s / ended * (progress.budget - ended))
    if progress.time_budget_s is not None:
        left.append(max(0.0, progress.time_budget_s - elapsed_s))
    return min(left, default=None)


def _aims(goal: Goal) -> str:
    return "; ".join(f"{objective.metric}, {objective.direction}" for objective in goal.objectives)


def _number(trial: Trial, index: int = 0, digits: int = 5) -> str:
    """Its value of that objective, if there is one yet; large numbers as whole ones."""
    value = trial.values[index] if index < len(trial.values) else None
    if value is None:
        return ""
    return f"{value:.0f}" if 10**digits <= abs(value) < 1e9 else f"{value:.{digits}g}"


def _table(title: str) -> Table:
    return Table(title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False, expand=True)


def _short(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else as_text(value)
