"""A summary of studies as plain text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime, timezone

from rich.console import Console
from rich.table import Table
from rich.text import Text

from clearml_hpo.core.trial import Trial
from clearml_hpo.report.summary import StudySummary, attempt_name, duration_text, values_text
from clearml_hpo.study_file import dump_params

_WIDTH = 100


def summary_text(title: str, studies: Sequence[StudySummary], top: int = 10) -> str:
    """The studies one after another: what is to be known first, the ``top`` best trials, what went wrong and why."""
    console = Console(file=io.StringIO(), width=_WIDTH, color_system=None, force_jupyter=False)
    if len(studies) > 1:
        console.print(Text(f"{title}: {len(studies)} studies"))
        console.print(overview(studies))
    for study in studies:
        _say(console, study, top)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines()).strip() + "\n"


def overview(studies: Sequence[StudySummary]) -> Table:
    """A row for each study."""
    table = _table("study", "status", "metric", "best", "trials", "time")
    for study in studies:
        best = study.best
        first = study.goal.objectives[0]
        table.add_row(
            *map(Text, (study.name, study.status, f"{first.metric} ({first.direction})")),
            "" if best is None else f"{best.value:.6g}",
            str(len(study.trials)),
            duration_text(study.driven_s),
        )
    return table


def _say(console: Console, study: StudySummary, top: int) -> None:
    console.print(Text(f"\n{study.name}: {study.status}{f': {study.reason}' if study.reason else ''}"), soft_wrap=True)
    console.print(Text(study.url), soft_wrap=True)
    for name, text in study.facts:
        console.print(Text(f"  {name:<15} {text}"), soft_wrap=True)
    if study.best is not None:
        console.print(Text(f"\nparameters of trial {study.best.number}"))
        for line in dump_params(study.best.params).splitlines():
            console.print(Text(f"  {line}"), soft_wrap=True)
    if study.ranked:
        shown = study.ranked[:top]
        console.print(Text(f"\nthe best {len(shown)} of {len(study.ranked)} trials"))
        console.print(_trials(study, shown))
    if study.endings:
        console.print(Text("\nwithout a value"))
        table = _table("how", "attempts", "trials", "reason")
        for ending in study.endings:
            more = ", ..." if ending.count > len(ending.trials) else ""
            named = ", ".join(ending.trials) + more
            table.add_row(*map(Text, (ending.state.value, str(ending.count), named, ending.reason)))
        console.print(table)
    read = datetime.fromtimestamp(study.at, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    console.print(Text(f"\nas of {read} UTC"))


def _trials(study: StudySummary, trials: Sequence[Trial]) -> Table:
    table = _table("trial", "state", "value", "time", "parameters")
    for trial in trials:
        params = " ".join(f"{name.rpartition('/')[2]}={_short(value)}" for name, value in trial.params.items())
        time = "" if trial.duration is None else duration_text(trial.duration)
        cells = (attempt_name(trial), trial.state.value, values_text(trial, study.goal), time, params)
        table.add_row(*map(Text, cells))
    return table


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    return table
