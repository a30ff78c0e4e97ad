"""What a person sees of a campaign: legible at 80 columns, lines where there is no terminal."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from clearml_hpo.campaign.progress import CampaignProgress, ResourceProgress, Running, StudyProgress
from clearml_hpo.campaign.view import LineView, LiveView, render, view_for

NOW = 1_000_000.0


def study(dataset, model, **fields):
    return StudyProgress(f"{dataset}-{model}", dataset, model, "validation/auc", "maximize", **fields)


def progress():
    return CampaignProgress(
        "tabular-eight",
        754.0,
        NOW,
        (
            ResourceProgress("gpu0", 1, (Running("titanic-xgb", 12, NOW - 65),), waiting=1),
            ResourceProgress("gpu1", 1),
            ResourceProgress("cpu", 1, waiting=1),
        ),
        (
            study("titanic", "xgb", state="running", trials=31, best=0.8712, left_s=900.0),
            study("titanic", "lgbm", state="running", trials=29, best=0.8655, failures=2, left_s=910.0),
            study("titanic", "cat", state="failed", reason="no trial completed with a value"),
            *(study("california-housing", model) for model in ("xgb", "lgbm", "cat")),
        ),
        trials_per_hour=286.5,
    )


def text_of(renderable, width=80):
    out = Console(file=io.StringIO(), width=width, color_system=None)
    out.print(renderable)
    return out.file.getvalue()


def test_resources_data_sets_and_the_best_of_each_fit_on_80_columns():
    text = text_of(render(progress(), NOW + 5))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("tabular-eight  12:39  60 trials, 286 an hour, 2 failed")
    row = {line.split()[0]: line.split() for line in lines[1:]}
    assert row["gpu0"] == ["gpu0", "titanic-xgb", "trial", "12", "1:10", "1"]
    assert row["gpu1"] == ["gpu1", "idle", "0"] and row["cpu"] == ["cpu", "starting", "1"]
    assert row["titanic"] == ["titanic", "15:05", "60", "0.8712", "*", "0.8655", "failed"]
    assert row["california-housing"][1] == "waiting"


def test_brackets_in_names_are_no_markup():
    seen = replace(
        progress(),
        resources=(ResourceProgress("gpu[0]", 1, (Running("a[red]b", 3, NOW - 5),)),),
        studies=(study("a[red]", "b[/b]", state="running", trials=3, best=0.5, left_s=1.0),),
    )
    text = text_of(render(seen, NOW))
    assert all(name in text for name in ("gpu[0]", "a[red]b trial 3", "a[red] ", "b[/b]")), text


def test_the_best_is_marked_only_among_values_of_one_metric():
    studies = progress().studies
    other = replace(studies[1], metric="validation/logloss", direction="minimize")
    assert progress().best_of("titanic") == studies[0]
    assert replace(progress(), studies=(studies[0], other)).best_of("titanic") is None


@pytest.mark.parametrize(("terminal", "kind"), [(True, LiveView), (False, LineView)])
def test_a_live_view_for_a_terminal(terminal, kind):
    out = Console(file=io.StringIO(), width=80, force_terminal=terminal)
    view = view_for(out)
    assert isinstance(view, kind)
    with view:
        view.note("embedded [server]")
        view.progress(progress())
    assert "embedded [server]" in out.file.getvalue()


def test_lines_say_once_what_has_changed():
    out = Console(file=io.StringIO(), width=80)
    view = LineView(out)
    for _ in range(2):
        view.progress(progress())
    ended = replace(progress().studies[0], state="completed", reason="the time budget of 60 s is used up")
    view.progress(replace(progress(), studies=(ended, *progress().studies[1:])))
    lines = [line.split("  ", 1)[1] for line in out.file.getvalue().splitlines()]
    assert lines == [
        "titanic-xgb begins",
        "titanic-lgbm begins",
        "titanic-cat failed after 0 trials (no trial completed with a value)",
        "titanic-xgb completed after 31 trials, best validation/auc 0.8712 (the time budget of 60 s is used up)",
    ]
