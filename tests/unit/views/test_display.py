"""What a person sees."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from clearml_hpo.core.budget import Budget
from clearml_hpo.core.goal import Goal, MetricConstraint, Objective
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.views.display import (
    LineView,
    LiveView,
    Progress,
    clock,
    short_params,
    short_worker,
    trial_table,
    trials_per_hour,
    view_for,
)

LOSS = Goal((Objective("validation", "loss"),))
TWO = Goal(
    (Objective("validation", "loss"), Objective("speed", "rows_per_second", "maximize")),
    (MetricConstraint("latency", "p95", high=1.0),),
)
PARAMS = {"General/learning_rate": 0.123456, "General/depth": 6, "General/kind": "a", "General/none": None}


def trial(number, state=TrialState.COMPLETED, value=None, **fields):
    return Trial(
        number,
        PARAMS,
        f"task-{number}-{fields.get('attempt', 1)}",
        state=state,
        values=value if isinstance(value, tuple) else () if value is None else (value,),
        **fields,
    )


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


def rendered(progress, ended=(), goal=LOSS):
    out = console(terminal=True)
    view = LiveView(out, "my-study", goal)
    for one in ended:
        view.trial(one)
    view.progress(progress)
    out.print(view.render())
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
    assert "outlook" not in text


def test_views_say_at_which_lengths_trials_are():
    paused = [trial(number, TrialState.PAUSED, 0.5, length=50) for number in (0, 1)]
    earlier = [trial(2, TrialState.PAUSED, 0.4, length=50)]
    done = trial(2, value=0.3, length=150, attempt=2)
    out = console(80)
    view = LiveView(out, "study", LOSS)
    view.progress(Progress([*paused, done], 2, 60.0, budget=3, earlier=earlier))
    out.print(view.render())
    shown = out.file.getvalue()
    assert "lengths at 50: 2 paused, 1 promoted; at 150: 1 completed" in shown
    assert "again" not in shown, "a promotion is no retry"
    lines = LineView(console(80), LOSS)
    assert lines.line(paused[0]) == "trial 0 paused at 50, validation/loss 0.5"


def test_the_live_view_shows_what_a_trial_is_expected_to_gain():
    outlook = Budget(flat=0.015).outlook(0.03456)
    text = rendered(Progress([trial(0, value=0.5)], 2, 60.0, budget=6, outlook=outlook))
    assert "outlook  a trial is expected to gain 3.5 % of what was gained (limit 1.5 %)" in text
    assert all(len(line.rstrip()) <= 80 for line in text.splitlines())


@pytest.mark.parametrize(
    ("worker", "shown"),
    [
        ("host:cpu0", "host:cpu0"),
        ("node-1.cluster.example.com:gpu2", "node-1:gpu2"),
        ("node-1:local-3f9c2a3f9c2a-1234:gpu2", "node-1:gpu2"),
        ("node-1.example.com:run-1234-cpu0", "node-1:cpu0"),
        ("10.0.0.12:gpu0,1", "10.0.0.12:gpu0,1"),
        ("node-1:dask-1234.f0a1b2:node-1-99-cpu0", "node-1-99-cpu0"),
        ("a-name-without-any-colon-in-it", "…out-any-colon-in-it"),
        ("", ""),
    ],
)
def test_workers_have_short_names(worker, shown):
    assert short_worker(worker) == shown


def test_trials_that_wait_for_a_queue_without_workers_are_counted():
    running = trial(0, TrialState.RUNNING, worker="host:cpu0")
    text = rendered(Progress([running], 2, 60.0, queues={"cpu": 2, "gpu": 0}, stranded=8))
    assert "queues cpu 2, gpu no workers  8 more wait for workers" in text


def test_lines_say_the_front_the_attempt_and_a_broken_constraint():
    out = console(200)
    view = LineView(out, TWO)
    view.trial(trial(0, TrialState.LOST, attempt=1, reason="no sign of life for 600 s"))
    view.trial(trial(0, TrialState.RUNNING, attempt=2, worker="host:gpu0"))
    view.trial(trial(0, value=(0.5, 100.0), attempt=2))
    view.trial(trial(1, value=(0.6, 200.0)))
    view.trial(trial(2, value=(0.7, 90.0)))
    view.trial(trial(3, value=(0.1, 900.0), violations=(1.0,)))
    lines = [line[10:] for line in out.file.getvalue().splitlines()]
    assert lines == [
        "trial 0 lost, no sign of life for 600 s",
        "trial 0 (attempt 2) runs on host:gpu0: learning_rate=0.123 depth=6 kind=a none=",
        "trial 0 (attempt 2) completed, validation/loss 0.5, speed/rows_per_second 100 (front of 1)",
        "trial 1 completed, validation/loss 0.6, speed/rows_per_second 200 (front of 2)",
        "trial 2 completed, validation/loss 0.7, speed/rows_per_second 90",
        "trial 3 completed, validation/loss 0.1, speed/rows_per_second 900 (breaks a constraint)",
    ]


def test_the_live_view_of_several_objectives_queues_and_attempts_fits_80_columns():
    ended = [
        trial(0, value=(0.5, 100.0), started_at=0.0, ended_at=2.0),
        trial(1, value=(0.6, 456_860.0), attempt=2),
        trial(2, value=(0.7, 90.0)),
        trial(3, value=(0.1, 900.0), violations=(1.0,)),
        trial(4, TrialState.FAILED, reason="CUDA out of memory"),
    ]
    running = trial(5, TrialState.RUNNING, value=(0.4, 7.0), worker="node-1.cluster.example.com:gpu2", attempt=2)
    earlier = [trial(1, TrialState.LOST), trial(5, TrialState.LOST)]
    progress = Progress([*ended, running], 3, 60.0, 9, {"gpu": 2, "cpu": 1, "spot": 0}, earlier)
    text = rendered(progress, [earlier[0], *ended], TWO)
    assert all(len(line.rstrip()) <= 80 for line in text.splitlines())
    for piece in (
        "queues gpu 2, cpu 1, spot no workers",
        "ended 4 completed, 1 failed",
        "again 2 lost",
        "front 2 trials",
        "best  0.5  loss, trial 0",
        "best  456860  rows_per_second, trial 1",
        " 5:2 ",
        "node-1:gpu2",
        "breaks a constraint",
        "CUDA out of memory",
    ):
        assert piece in text
    recent = [line.split()[:2] for line in text[text.index("recent") :].splitlines()[2:]]
    assert recent == [["4", "failed"], ["3", "completed"], ["2", "completed"], ["1:2", "completed"], ["0", "completed"],
                      ["1", "lost"]], "an attempt that was lost is not forgotten"  # fmt: skip


def test_more_trials_run_than_there_is_room_for():
    running = [trial(n, TrialState.RUNNING, worker=f"10.0.0.5:{n}") for n in range(20)]
    text = rendered(Progress(running, 20, 1.0))
    assert "running, 8 of 20" in text and "10.0.0.5:7" in text and "10.0.0.5:8" not in text


def test_objectives_of_one_name_are_told_apart_by_their_title():
    goal = Goal((Objective("train", "loss"), Objective("test", "loss")))
    out = console()
    out.print(trial_table([trial(0, value=(1.0, 2.0))], goal))
    assert out.file.getvalue().split()[:4] == ["trial", "state", "train", "test"]


def test_the_live_view_before_anything_happened():
    assert "none yet" in rendered(Progress((), 0, 0.0))


def test_a_failed_trial_shows_its_reason_in_the_table():
    out = console(100)
    out.print(trial_table([trial(0, TrialState.FAILED, reason="no such file: x.csv")], LOSS))
    assert "no such file: x.csv" in out.file.getvalue()


def test_small_texts():
    assert [clock(s) for s in (0, 67, 754, 3723)] == ["0:00", "1:07", "12:34", "1:02:03"]
    assert short_params({"General/a": 1e-7, "b": True}) == "a=1e-07 b=True"


NOW = 1_000_000.0


def seen_at(progress, width=80, height=24):
    """The view at a fixed moment, as text."""
    out = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    view = LiveView(out, "my-study", LOSS, clock=lambda: NOW)
    view.progress(progress)
    out.print(view.render())
    return [line.rstrip() for line in out.file.getvalue().splitlines()]


def busy_study(running=1):
    params = {"General/rate": 0.123456, "General/depth": 6}
    ended = [
        Trial(0, params, "t0", 1, TrialState.COMPLETED, (0.5,), (), 9, "gpu", "a:gpu0", "", 0, NOW - 500, NOW - 400),
        Trial(1, params, "t1", 1, TrialState.COMPLETED, (0.25,), (), 9, "gpu", "a:gpu1", "", 0, NOW - 500, NOW - 90),
        Trial(2, params, "t2", 1, TrialState.FAILED, (), (), 9, "gpu", "a:gpu0", "no GPU\nx", 0, NOW - 390, NOW - 100),
    ]
    live = [
        Trial(3 + i, params, f"r{i}", 1, TrialState.RUNNING, (0.75,), (), 17, "gpu", f"a:gpu{i}", "", 0, NOW - 65)
        for i in range(running)
    ]
    return Progress([*ended, *live], running + 2, 600.0, 10, {"gpu": running + 2}, time_budget_s=900.0)


def test_a_screen_of_80_columns():
    assert seen_at(busy_study()) == [
        "my-study  validation/loss, minimize",
        "━━━━━━━                   3/10 trials  10:00  ETA 5:00  3 workers, 0 waiting",
        "ended 2 completed, 1 failed  18 an hour",
        "failed trial 2: no GPU",
        "best  0.25  trial 1  (trial 0: 0.5)",
        "running",
        "trial  since  iteration  value  worker    parameters",
        "    3   1:05         17   0.75  a:gpu0    rate=0.123 depth=6",
        "        1:30                    a:gpu1    idle",
        "                                1 of gpu  idle",
        "recent",
        "trial  state      loss     time  parameters",
        "    1  completed  0.25  410.0 s  rate=0.123 depth=6",
        "    2  failed           290.0 s  no GPU",
        "    0  completed   0.5  100.0 s  rate=0.123 depth=6",
    ]


@pytest.mark.parametrize(
    ("waiting", "said"),
    [
        (1, ["a:gpu1 idle", "1 of gpu starting"]),
        (2, ["a:gpu1 starting", "1 of gpu starting"]),
        (3, ["a:gpu1 starting", "1 of gpu starting"]),
    ],
)
def test_a_trial_that_waits_beside_a_worker_without_one_begins_there(waiting, said):
    """While libraries are imported for half a minute, the screen must not look stuck."""
    progress = busy_study()
    queued = [Trial(4 + i, {}, f"q{i}", 1, TrialState.QUEUED, queue="gpu") for i in range(waiting)]
    lines = seen_at(replace(progress, trials=[*progress.trials, *queued]))
    found = [" ".join(line.split()) for line in lines if line.endswith(("idle", "starting"))]
    assert [line.removeprefix("1:30 ") for line in found] == said


def test_a_first_run_that_starts_is_said_to_start():
    first = Trial(0, {}, "t0", 1, TrialState.QUEUED, queue="local")
    lines = seen_at(Progress([first], 2, 3.0, 10, {"local": 2}))
    assert [" ".join(line.split()) for line in lines[-2:]] == ["1 of local starting", "1 of local idle"]


@pytest.mark.parametrize(("height", "rows"), [(24, 8), (40, 23)])
def test_many_workers_fill_the_screen_and_no_more(height, rows):
    lines = seen_at(busy_study(running=60), width=120, height=height)
    assert f"running, {rows} of 60" in lines and sum("17   0.75" in line for line in lines) == rows
    assert len(lines) <= height and all(len(line) <= 120 for line in lines)


def test_a_study_that_nobody_drives_stands_still():
    progress = replace(busy_study(), is_driven=False)
    lines = seen_at(progress)
    assert "no controller drives the study" in lines and "10:00" in lines[1] and "ETA" not in lines[1]


def test_trials_by_the_hour_are_those_of_the_last_hour():
    ended = [trial(i, value=1.0, ended_at=NOW - 100 * i) for i in range(100)]
    assert trials_per_hour(ended, 50_000.0, NOW) == 36
    assert trials_per_hour(ended, 1_000.0, NOW) == 36
    assert trials_per_hour(ended, 0.0, NOW) == trials_per_hour([], 10.0, NOW) == 0
