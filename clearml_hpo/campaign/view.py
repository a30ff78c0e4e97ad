"""What a user sees of a campaign while it runs: a live view on a terminal, else lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from clearml_hpo.campaign.progress import CampaignProgress, StudyProgress
from clearml_hpo.views.display import clock
from clearml_hpo.views.screen import Lines, Redrawn, Screen

_LINE_S = 60.0
"""Period of the line that says what each resource runs, where there is no terminal."""
_STYLE = {"failed": "red", "stopped": "dark_orange3", "waiting": "dim"}


class CampaignView(Screen, Protocol):
    """What a run of a campaign tells a user; implemented by ``LiveView`` and ``LineView``."""

    def progress(self, progress: CampaignProgress) -> None:
        """Where the campaign stands."""


def view_for(console: Console) -> CampaignView:
    """A live view if the console is a terminal, else lines."""
    return LiveView(console) if console.is_terminal else LineView(console)


class LineView(Lines):
    """A line when a study begins or ends, and one every minute; for logs and pipes."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._states: dict[str, str] = {}
        self._said_at = time.monotonic()

    def progress(self, progress: CampaignProgress) -> None:
        """Prints what is new."""
        for line in self.lines(progress):
            self.note(line)

    def lines(self, progress: CampaignProgress) -> Iterator[str]:
        """What is new."""
        for study in progress.studies:
            if study.state != self._states.get(study.name, "waiting"):
                yield f"{study.name} {_how(study)}"
            self._states[study.name] = study.state
        if time.monotonic() - self._said_at >= _LINE_S:
            self._said_at = time.monotonic()
            busy = ", ".join(
                f"{r.name} {' '.join(f'{run.study} {run.trial}' for run in r.running) or 'idle'}"
                for r in progress.resources
            )
            yield f"{_counts(progress)}; {busy}"


class ToldView(LineView):
    """Another view, and what is worth a line for ``tell`` too."""

    def __init__(self, view: CampaignView, tell: Callable[[str], None]) -> None:
        """Nothing is printed by itself; the caller that has given ``view`` takes the screen with it."""
        super().__init__(Console(quiet=True))
        self._view = view
        self._tell = tell

    def note(self, text: str) -> None:
        """Passes it on."""
        self._view.note(text)
        self._tell(text)

    def progress(self, progress: CampaignProgress) -> None:
        """Passes it on."""
        self._view.progress(progress)
        for line in self.lines(progress):
            self._tell(line)


class LiveView(Redrawn):
    """Resources with what they run, data sets with what they have found, redrawn in place."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, per_second=2)
        self._progress: CampaignProgress | None = None

    def progress(self, progress: CampaignProgress) -> None:
        """Shows it at the next redraw."""
        self._progress = progress

    def render(self) -> RenderableType:
        """The view as it is now."""
        return "" if self._progress is None else render(self._progress, time.time())


def render(progress: CampaignProgress, now: float) -> RenderableType:
    """Where a campaign stands, for a screen of 80 columns or more; ``now`` is in seconds since the epoch."""
    head = Text.assemble(
        (progress.name, "bold"), f"  {clock(progress.elapsed_s + now - progress.seen_at)}  {_counts(progress)}"
    )
    return Group(head, *_resources(progress, now), datasets_table(progress, now))


def _counts(progress: CampaignProgress) -> str:
    parts = [f"{progress.trials} trials"]
    if progress.trials_per_hour is not None:
        parts.append(f"{progress.trials_per_hour:.0f} an hour")
    if progress.failures:
        parts.append(f"{progress.failures} failed")
    return ", ".join(parts)


def _resources(progress: CampaignProgress, now: float) -> Iterator[Table]:
    if not progress.resources:
        return
    table = _table()
    table.add_column("resource", no_wrap=True)
    table.add_column("runs", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("since", justify="right", no_wrap=True)
    table.add_column("waiting", justify="right", no_wrap=True)
    for resource in progress.resources:
        waiting = str(resource.waiting)
        if not resource.running:
            table.add_row(
                Text(resource.name), Text("starting" if resource.waiting else "idle", style="dim"), "", waiting
            )
        for index, run in enumerate(resource.running):
            since = "" if run.since is None else clock(max(0.0, now - run.since))
            first = (resource.name, waiting) if index == 0 else ("", "")
            table.add_row(Text(first[0]), Text(f"{run.study} trial {run.trial}"), since, first[1])
    yield table


def datasets_table(progress: CampaignProgress, now: float | None = None) -> Table:
    """A row for each data set: time left, trials, the best value of each model, the best of all marked."""
    table = _table()
    table.add_column("data set", no_wrap=True, overflow="ellipsis")
    table.add_column("left", justify="right", no_wrap=True)
    table.add_column("trials", justify="right", no_wrap=True)
    for model in progress.models:
        table.add_column(Text(model), justify="right", no_wrap=True, overflow="ellipsis")
    for dataset in progress.datasets:
        studies, best = progress.of_dataset(dataset), progress.best_of(dataset)
        by_model = {study.model: study for study in studies}
        passed = 0.0 if now is None else now - progress.seen_at
        cells = [_cell(by_model.get(model), best) for model in progress.models]
        table.add_row(Text(dataset), _left(studies, passed), str(sum(study.trials for study in studies)), *cells)
    return table


def _left(studies: tuple[StudyProgress, ...], passed: float) -> Text:
    running = [study for study in studies if study.state == "running"]
    if running:
        return _left_of_running(running, passed)
    states = {study.state for study in studies}
    state = next((state for state in ("failed", "stopped", "waiting") if state in states), "ended")
    return Text(state, style=_STYLE.get(state, ""))


def _left_of_running(running: Sequence[StudyProgress], passed: float) -> Text:
    """Time if a study's time is limited, else trials."""
    times = [study.left_s for study in running if study.left_s is not None]
    if times:
        return Text(clock(max(0.0, max(times) - passed)))
    trials = [study.left_trials for study in running if study.left_trials is not None]
    return Text(f"{sum(trials)} trials" if trials else "running")


def _cell(study: StudyProgress | None, best: StudyProgress | None) -> Text:
    if study is None:
        return Text("")
    if study.best is None:
        return Text("" if study.state == "running" else study.state, style=_STYLE.get(study.state, ""))
    is_best = best is not None and study.name == best.name
    return Text(f"{study.best:.5g}{' *' if is_best else ''}", style="bold green" if is_best else "")


def _how(study: StudyProgress) -> str:
    if study.state == "running":
        return "begins"
    found = "" if study.best is None else f", best {study.metric} {study.best:.6g}"
    why = study.reason.partition("\n")[0]
    return f"{study.state} after {study.trials} trials{found}" + (f" ({why})" if why else "")


def _table() -> Table:
    return Table(box=None, pad_edge=False, expand=True)
