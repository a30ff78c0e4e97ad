"""``clearml-hpo run``."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from clearml_hpo import display, settings
from clearml_hpo.display import view_for
from clearml_hpo.objective import Objective
from clearml_hpo.rehearsal import rehearse
from clearml_hpo.server import process as server_process
from clearml_hpo.spec import StudyFile, dump_params, load_study

if TYPE_CHECKING:
    from clearml_hpo.controller.run import Outcome

_TOP = 5
_EXIT = {"completed": 0, "failed": 1, "stopped": 130}


@click.command(epilog="Exit codes: 0 done, 1 failed, 2 bad input, 130 interrupted.")
@click.argument("study_file", metavar="STUDY.yaml", type=click.Path(path_type=Path))
@click.option("--local", is_flag=True, help="Use an embedded server and agents on this machine, and stop them after.")
@click.option("--agents", type=click.IntRange(min=1), metavar="N", help="Agents for --local (default: GPUs or cores).")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key: budget.trials=5.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    metavar="FILE",
    help="Write the result as JSON.",
)
@click.option("--detach", is_flag=True, help="On Ctrl-C leave running trials alone (not with --local).")
def run(
    study_file: Path,
    local: bool,
    agents: int | None,
    overrides: tuple[str, ...],
    json_file: Path | None,
    detach: bool,
) -> None:
    """Run a study: on the ClearML server that is configured; with none, or --local, on an embedded one.

    \b
    Examples:
      clearml-hpo run study.yaml --local
      clearml-hpo run study.yaml --set budget.trials=50 --set sampler.seed=1
      clearml-hpo run study.yaml --json out.json
    """
    file = load_study(study_file, overrides)
    rehearse(file)
    here = settings.load()
    local = local or not here.clearml_configured
    if agents is not None and not local:
        raise click.UsageError("--agents is for --local; with your own server: clearml-hpo agents up")
    if json_file is not None:
        _check_writable(json_file)
    if detach and local:
        raise click.UsageError("--detach leaves trials to agents that stay; with --local none do")
    console = Console()
    with ExitStack() as stack:
        if local:
            file = _start_locally(stack, console, here, file, agents)
        outcome = _run_study(file, console, detach)
        if json_file is not None:
            json_file.write_text(json.dumps(outcome.result, indent=2) + "\n", encoding="utf-8")
    _say_how_it_ended(console, file.objective, outcome)
    if local and server_process.status(here.home / "server") is None:
        console.print("to look at it again: clearml-hpo server start", markup=False, highlight=False)
    sys.exit(_EXIT[outcome.status])


def _check_writable(json_file: Path) -> None:
    """Said before anything starts, not after a week."""
    folder = json_file.absolute().parent
    if not folder.is_dir():
        raise click.BadParameter(f"no such folder: {folder}", param_hint="--json")
    if not os.access(folder, os.W_OK):
        raise click.BadParameter(f"cannot write to {folder}", param_hint="--json")


def _start_locally(
    stack: ExitStack, console: Console, here: settings.Settings, file: StudyFile, agents: int | None
) -> StudyFile:
    """Starts server and agents, for as long as ``stack`` lasts; returns the study on the queue that they serve."""
    from clearml_hpo.cli.local import embedded_server, local_agents

    def say(text: str) -> None:
        console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)

    server = stack.enter_context(embedded_server(here, say))
    settings.use_server(server)
    queue = stack.enter_context(local_agents(here, server, file.spec.execution.queue, agents, say))
    execution = file.spec.execution.model_copy(update={"queue": queue})
    return replace(file, spec=file.spec.model_copy(update={"execution": execution}))


def _run_study(file: StudyFile, console: Console, detach: bool) -> Outcome:
    # Imported late: ClearML's SDK takes a second, and a bad file should be said before.
    from clearml_hpo.controller.run import StudyRun
    from clearml_hpo.tasks import Api

    view = view_for(console, file.spec.study, file.objective)
    with _stop_on_signals() as stopped, view:
        return StudyRun(file, Api(), view, stopped, abort_on_stop=not detach).run()


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets, so that no call to the server is cut in half; a second one interrupts."""
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()

    before: dict[int, Any] = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say_how_it_ended(console: Console, objective: Objective, outcome: Outcome) -> None:
    from clearml_hpo.report.figures import ranking

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    ranked = ranking(outcome.trials, objective)
    if ranked:
        console.print(display.trial_table(ranked[:_TOP], objective, title=f"best of {len(ranked)} trials"))
    say(f"\n{outcome.status}: {outcome.reason} ({display.clock(outcome.result['wall_s'])})")
    if outcome.best is not None:
        say(f"best: trial {outcome.best.number}, {objective.metric} = {outcome.best.value:.6g}")
        say("".join(f"  {line}\n" for line in dump_params(outcome.best.params).splitlines()))
    say(outcome.url)
