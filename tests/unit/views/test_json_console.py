from __future__ import annotations

import json
from datetime import datetime

from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.notes import Note
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.views.display import trial_table, view_for
from clearml_hpo.views.json_console import console_for

GOAL = Goal((Objective("validation", "loss", "minimize"),))


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_text_and_a_note_are_an_object_a_line(capsys):
    console = console_for("json")
    console.print("two\nlines [bold]\n", style="dim", markup=False)
    console.print("")
    console.print(Note("trial 7 was lost", level="warning", trial=7, queue="gpu"))
    first, second = lines(capsys)
    assert (first["level"], first["message"]) == ("info", "two\nlines [bold]")
    assert datetime.fromisoformat(first["time"].replace("Z", "+00:00")).utcoffset().total_seconds() == 0
    assert {key: second[key] for key in second if key != "time"} == {
        "level": "warning",
        "message": "trial 7 was lost",
        "trial": 7,
        "queue": "gpu",
    }


def test_a_view_tells_of_trials_with_their_ids(capsys):
    trial = Trial(number=3, params={"General/x": 1}, task_id="ab12", state=TrialState.FAILED, reason="ValueError: x")
    console = console_for("json")
    view_for(console, "study", GOAL).trial(trial)
    console.print(trial_table([trial], GOAL, title="all"))
    told, table = lines(capsys)
    assert {key: told[key] for key in ("level", "trial", "attempt", "task", "state")} == {
        "level": "warning",
        "trial": 3,
        "attempt": 1,
        "task": "ab12",
        "state": "failed",
    }
    assert told["message"] == "trial 3 failed, ValueError: x"
    assert table["message"].startswith("all\ntrial  state")


def test_the_same_as_text(capsys):
    console_for("text").print(Note("trial 7 was lost", level="warning", trial=7), markup=False)
    assert capsys.readouterr().out == "trial 7 was lost\n"
