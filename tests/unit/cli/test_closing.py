"""What is printed at a study's end."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from clearml_hpo.cli.closing import say_how_it_ended
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.views.json_console import console_for


@pytest.mark.parametrize(
    ("params", "shown"),
    [
        ({"General/lr": 0.5, "Args/on": True}, "  General/lr: 0.5\n  Args/on: true\n"),
        ({}, "  the template's own values\n"),
    ],
)
def test_the_best_trial_is_shown_with_its_parameters(params, shown):
    console = Console(file=io.StringIO(), width=100)
    trials = [Trial(0, params, "t0", state=TrialState.COMPLETED, values=(0.25,))]
    goal = Goal((Objective("val", "score", "maximize"),))
    say_how_it_ended(console, goal, trials, status="completed", reason="used up", wall_s=4.0, url="http://here")
    assert f"best: trial 0, val/score = 0.25\n{shown}\nhttp://here\n" in console.file.getvalue()


def test_the_parameters_stand_below_the_best_trial_not_below_the_front():
    console = Console(file=io.StringIO(), width=100)
    trials = [
        Trial(number, {"lr": number}, f"t{number}", state=TrialState.COMPLETED, values=values)
        for number, values in enumerate([(0.5, 1.0), (0.25, 2.0)])
    ]
    goal = Goal((Objective("val", "loss", "minimize"), Objective("model", "size", "minimize")))
    say_how_it_ended(console, goal, trials, status="completed", reason="used up", wall_s=4.0, url="http://here")
    said = "best: trial 1, val/loss = 0.25, model/size = 2\n  lr: 1\nPareto front: trials 0, 1\n\nhttp://here\n"
    assert said in console.file.getvalue()


@pytest.mark.parametrize(("status", "level"), [("failed", "error"), ("completed", "info")])
def test_a_failed_study_ends_with_an_error(capsys, status, level):
    goal = Goal((Objective("val", "score", "maximize"),))
    say_how_it_ended(console_for("json"), goal, [], status=status, reason="why", wall_s=1.0, url="http://there")
    end, url = map(json.loads, capsys.readouterr().out.splitlines())
    assert (end["level"], end["status"], end["message"]) == (level, status, f"{status}: why (0:01)")
    assert url["message"] == "http://there"
