"""What a person sees."""

from __future__ import annotations

import io

from rich.console import Console

from clearml_hpo.display import LineView, LiveView, Progress, clock, short_params, trial_table, view_for
from clearml_hpo.objective import Goal, Objective
from clearml_hpo.trial import Trial, TrialState

LOSS = Goal((Objective("validation", "loss"),))
PARAMS = {"General/learning_rate": 0.123456, "General/depth": 6, "General/kind": "a", "General/none": None}


def trial(number, state=TrialState.COMPLETED, value=None, **fields):
    return Trial(number, PARAMS, f"task-{number}", state=state, values=() if value is None else (value,), **fields)


def console(width=80, terminal=False):
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)


def test_lines_for_a_pipe_a_live_view_for_a_terminal():
    assert isinstance(view_for(console(), "s", LOSS), LineView)
    assert isinstance(view_for(console(terminal=True), "s", LOSS), LiveView)


def test_lines_say_start_end_reason_and_a_new_best():
    out = console(200)
    view = LineView(out, LOSS)
    view.trial(trial(0, TrialState.QUEUED))
    view.trial(trial(0, TrialState.RUNNING, worker="host:gpu0"))
    view.trial(trial(0, value=0.5, started_at=1.0, ended_at=3.5))
    view.trial(trial(1, value=0.6))
    view.trial(trial(2, TrialState.FAILED, reason="no such file"))
    view.note("a [note]")
    lines = [line[10:] for line in out.file.getvalue().splitlines()]
    assert lines == [
        "trial 0 runs on host:gpu0: learning_rate=0.123 depth=6 kind=a none=",
        "trial 0 completed, validation/loss 0.5 (best so far), 2.5 s",
        "trial 1 completed, validation/loss 0.6",
        "trial 2 failed, no such file",
        "a [note]",
    ]


def rendered(progress, ended=()):
    out = console(terminal=True)
    view = LiveView(out, "my-study", LOSS)
    for one in ended:
        view.trial(one)
    view.progress(progress)
    out.print(view._render())
    return out.file.getvalue()


def test_the_live_view_fits_80_columns_and_shows_where_the_study_stands():
    done = [trial(0, value=0.5, started_at=0.0, ended_at=2.0), trial(1, value=0.25)]
    pruned = trial(2, TrialState.PRUNED, value=0.9)
    running = trial(3, TrialState.RUNNING, value=0.4, iteration=17, worker="host:cpu0")
    waiting = trial(4, TrialState.QUEUED)
    text = rendered(Progress([*done, pruned, running, waiting], 2, 60.0, budget=6), [*done, pruned])
    assert all(len(line.rstrip()) <= 80 for line in text.splitlines())
    for piece in ("my-study", "3/6 trials", "ETA 1:00", "2 workers, 1 waiting", "0.25  trial 1", "(trial 0: 0.5)"):
        assert piece in text
    assert "17" in text and "host:cpu0" in text and "pruned" in text


def test_the_live_view_before_anything_happened():
    assert "none yet" in rendered(Progress((), 0, 0.0))


def test_a_failed_trial_shows_its_reason_in_the_table():
    out = console(100)
    out.print(trial_table([trial(0, TrialState.FAILED, reason="no such file: x.csv")], LOSS))
    assert "no such file: x.csv" in out.file.getvalue()


def test_small_texts():
    assert [clock(s) for s in (0, 67, 754, 3723)] == ["0:00", "1:07", "12:34", "1:02:03"]
    assert short_params({"General/a": 1e-7, "b": True}) == "a=1e-07 b=True"
