"""``clearml-hpo study`` as a person types it."""

from __future__ import annotations

import csv
import io
import json
import os
import uuid

import pytest
import yaml

from clearml_hpo import Study
from clearml_hpo.backend.lease import Lease
from clearml_hpo.study_file import load_study
from tests.integration.controller.recorded import RecordedStudy

SUBCOMMANDS = [
    "list",
    "show",
    "trials",
    "best",
    "export",
    "stop",
    "retry",
    "keep",
    "try",
    "prune",
    "abort",
    "extend",
    "narrow",
    "report",
    "delete",
]


@pytest.fixture
def recorded(api, queue):
    """A study of five trials: completed, better, failed twice, running, waiting."""
    recorded = RecordedStudy(api, queue, name=f"study-{uuid.uuid4().hex[:8]}")
    recorded.trial(0, loss=0.5, state="completed", x=0.9)
    recorded.trial(1, loss=0.25, state="completed", x=0.3)
    recorded.trial(2, "failed", state="failed", reason="CUDA out of memory")
    recorded.trial(2, "failed", attempt=2, state="failed", reason="CUDA out of memory")
    recorded.trial(3, "in_progress", loss=0.125)
    recorded.trial(4, "queued")
    return recorded


@pytest.mark.parametrize("subcommand", SUBCOMMANDS)
def test_every_subcommand_has_help_with_examples(command, subcommand):
    code, output = command("study", subcommand, "--help")
    assert code == 0 and f"clearml-hpo study {subcommand}" in output and "Example" in output


def test_list(command, recorded):
    recorded.tasks.mark(recorded.study_id, trials="3/10", best_value="0.25", best_trial="1")
    code, output = command("study", "list", "--project", recorded.project, columns=100)
    assert code == 0
    heading, line = output.splitlines()
    assert heading.split() == ["id", "study", "project", "status", "trials", "best", "made"]
    assert line.split()[:6] == [recorded.study_id[:8], recorded.name, recorded.project, "created", "3/10", "0.25"]


def test_long_names_leave_room_for_the_rest(command, api, queue):
    recorded = RecordedStudy(
        api, queue, name="a study of which the name alone is longer than the terminal is wide, " * 2
    )
    recorded.tasks.mark(recorded.study_id, trials="100/1000", best_value="0.123456")
    line = command("study", "list", "--project", recorded.project)[1].splitlines()[1]
    assert line.startswith(f"{recorded.study_id[:8]}  a study of w") and len(line) <= 80
    assert line.split()[-5:-2] == ["created", "100/1000", "0.12346"]


def test_list_for_programs(command, recorded):
    _, output = command("study", "list", "--format", "json", "--limit", "1")
    (study,) = json.loads(output)
    assert (study["study_id"], study["name"]) == (recorded.study_id, recorded.name)
    _, output = command("study", "list", "--format", "csv", "--project", recorded.project)
    assert [row["study_id"] for row in csv.DictReader(io.StringIO(output))] == [recorded.study_id]
    assert [study[key] for key in ("ended_trials", "budget_of_trials", "best_trial")] == [None, None, None]
    recorded.tasks.mark(recorded.study_id, trials="3/10", best_value="0.25", best_trial="1")
    (study,) = json.loads(command("study", "list", "--format", "json", "--limit", "1")[1])
    assert [study[key] for key in ("ended_trials", "budget_of_trials", "best_trial")] == [3, 10, 1]


def test_show_says_that_a_holder_is_gone(command, recorded):
    recorded.held("somewhere pid 1 since 2026-01-01T00:00:00+00:00 #abcdef-123456")
    held = next(line for line in command("study", "show", recorded.study_id)[1].splitlines() if "held by" in line)
    assert "somewhere pid 1" in held and "is gone" not in held, "its lease runs yet"
    assert json.loads(command("study", "show", recorded.study_id, "--json")[1])["is_driven"] is True
    here = Lease(recorded.api, recorded.study_id).me.replace(f"pid {os.getpid()}", "pid 4194304")
    recorded.held(here)
    held = next(line for line in command("study", "show", recorded.study_id)[1].splitlines() if "held by" in line)
    assert "no controller: " in held and "is gone, last heard of" in held
    assert f"clearml-hpo resume {recorded.study_id[:8]}" in held


def test_show(command, recorded):
    code, output = command("study", "show", recorded.study_id[:10])
    assert code == 0
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert f"{recorded.name} {recorded.study_id}" in lines
    for line in (
        "held by no controller",
        "objective minimize validation/loss",
        "budget 3 of 10 trials",
        "trials 1 queued, 1 running, 2 completed, 1 failed",
        "best trial 1: validation/loss = 0.25",
        "General/x: 0.3",
        "failure trial 2 failed: CUDA out of memory",
    ):
        assert line in lines, output
    assert recorded.study_id in next(line for line in lines if line.startswith("url "))


def test_show_as_json(command, recorded):
    recorded.held("gpu-1 pid 12")
    shown = json.loads(command("study", "show", recorded.study_id, "--json")[1])
    assert shown["holder"] == "gpu-1 pid 12" and shown["best"]["number"] == 1
    assert [shown[key] for key in ("ended_trials", "budget_of_trials", "best_trial")] == [3, 10, 1]
    assert shown["counts"] == {"queued": 1, "running": 1, "completed": 2, "failed": 1}
    assert [failure["reason"] for failure in shown["failures"]] == ["CUDA out of memory"]


def test_the_study_file_that_is_shown_can_be_run_again(command, recorded, tmp_path):
    code, output = command("study", "show", recorded.study_id, "--file")
    path = tmp_path / "again.yaml"
    path.write_text(output)
    assert code == 0 and load_study(path).spec.study == recorded.name


def test_trials(command, recorded):
    code, output = command("study", "trials", recorded.study_id)
    assert code == 0
    assert [line.split()[:2] for line in output.splitlines()[1:]] == [
        ["0", "completed"],
        ["1", "completed"],
        ["2:2", "failed"],
        ["3", "running"],
        ["4", "queued"],
    ]
    assert "CUDA out of memory" in output and max(map(len, output.splitlines())) <= 80


def trial_numbers(output):
    return [trial["number"] for trial in json.loads(output)]


def test_trials_sorted_and_chosen(command, recorded):
    options = ("study", "trials", recorded.study_id, "--format", "json")
    assert trial_numbers(command(*options, "--sort", "value")[1]) == [1, 0, 3, 2, 4], "completed ones first"
    assert trial_numbers(command(*options, "--sort", "value", "--top", "1")[1]) == [1]
    assert trial_numbers(command(*options, "--state", "failed", "--state", "running")[1]) == [2, 3]
    attempts = json.loads(command(*options, "--state", "failed", "--attempts")[1])
    assert [(trial["number"], trial["attempt"]) for trial in attempts] == [(2, 1), (2, 2)]


def test_trials_as_csv(command, recorded):
    _, output = command("study", "trials", recorded.study_id, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(output)))
    assert [row["validation/loss"] for row in rows] == ["0.5", "0.25", "", "0.125", ""]


def test_a_value_that_is_not_finite_is_null_in_json(command, api, queue):
    recorded = RecordedStudy(api, queue)
    recorded.trial(0, loss=float("nan"), state="not_finite")
    _, output = command("study", "trials", recorded.study_id, "--format", "json")
    assert "NaN" not in output and json.loads(output)[0]["validation/loss"] is None


def test_the_best_parameters_are_constants_of_a_search_space(command, recorded, tmp_path):
    code, output = command("study", "best", recorded.study_id)
    assert code == 0 and output.startswith("# trial 1: validation/loss = 0.25\n")
    best = yaml.safe_load(output)
    assert best == {"General/x": 0.3, "General/depth": 3, "General/kind": "b"}
    (tmp_path / "best.yaml").write_text(output + "General/other: {type: int, low: 0, high: 1}\n")
    (tmp_path / "study.yaml").write_text(
        "study: again\ntemplate: {task: abc}\nsearch_space: best.yaml\nbudget: {trials: 1}\n"
        "objective: {metric: validation/loss, direction: minimize}\n"
    )
    assert load_study(tmp_path / "study.yaml").space.constants == best
    (point,) = json.loads(command("study", "best", recorded.study_id, "--json")[1])
    assert point["params"] == best and point["values"] == {"validation/loss": 0.25}


def test_no_best_yet(command, api, queue):
    recorded = RecordedStudy(api, queue)
    code, output = command("study", "best", recorded.study_id)
    assert code == 1 and "no completed trial yet" in output


def test_export(command, recorded, tmp_path):
    code, output = command("study", "export", recorded.study_id, str(tmp_path / "trials.csv"))
    assert code == 0 and "5 trials" in output
    assert len((tmp_path / "trials.csv").read_text().splitlines()) == 6
    code, output = command("study", "export", recorded.study_id, str(tmp_path / "trials.xml"))
    assert code == 2 and ".json, .csv, .yaml" in output


def test_stop_asks_whoever_drives_it(command, recorded):
    recorded.held("gpu-1 pid 12")
    code, output = command("study", "stop", recorded.study_id, "--drain")
    assert code == 0 and output == f"asked gpu-1 pid 12 to drain study {recorded.name}\n"


def test_stop_where_nobody_drives_it(command, recorded):
    recorded.api.call("tasks.started", task=recorded.study_id, force=True)
    code, output = command("study", "stop", recorded.study_id)
    assert code == 0 and "no controller drives it; it is stopped" in output
    assert "2 stopped" in command("study", "show", recorded.study_id)[1], "what ran, and what waited"


def test_retry(command, recorded):
    code, output = command("study", "retry", recorded.study_id, "2")
    assert code == 0
    assert output == f"to run trial 2 again, go on with the study: clearml-hpo resume {recorded.study_id}\n"
    code, output = command("study", "retry", recorded.study_id, "--state", "lost")
    assert code == 0 and "no trial" in output
    code, output = command("study", "retry", recorded.study_id, "0")
    assert code == 2 and "trial 0 is completed" in output


def test_a_point_to_try(command, recorded):
    code, output = command("study", "try", recorded.study_id, "x=1e-3", "depth=5")
    assert code == 0 and output == (
        f"study {recorded.name}: no controller drives it; the point will be tried by: "
        f"clearml-hpo resume {recorded.study_id}\n"
    )
    recorded.held("gpu-1 pid 12")
    code, output = command("study", "try", recorded.study_id, "x=0.5", "kind=b")
    assert code == 0 and output == "asked gpu-1 pid 12 to try the point\n"
    ordered = [each["params"] for each in Study.load(recorded.study_id).orders]
    assert ordered == [
        {"General/x": 1e-3, "General/depth": 5, "General/kind": "a"},
        {"General/x": 0.5, "General/depth": 4, "General/kind": "b"},
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["try", "x"], "x: expected NAME=VALUE, such as lr=0.1"),
        (["try", "x=[1"], "x=[1"),
        (["try", "x=7"], "x: found 7; allowed"),
        (["try", "depth=x"], "depth: found 'x'; allowed"),
        (["prune", "0"], "trial 0 is completed; only these can be ended: queued, running"),
        (["abort", "9"], "the study has no trial 9: they are 0 to 4"),
        (["extend"], "no budget is given; there are: trials, time"),
        (["extend", "--trials", "3"], "budget.trials: found 3; it is 10 already, and can only grow"),
        (["extend", "--time", "soon"], "soon"),
    ],
)
def test_orders_that_cannot_be_obeyed(command, recorded, arguments, said):
    what, *more = arguments
    code, output = command("study", what, recorded.study_id, *more)
    assert code == 2 and said in output
    assert Study.load(recorded.study_id).orders == []


@pytest.mark.parametrize(("what", "state"), [("prune", "pruned"), ("abort", "aborted")])
def test_trials_are_ended(command, recorded, what, state):
    code, output = command("study", what, recorded.study_id, "3", "4")
    assert code == 0 and output == f"study {recorded.name}: no controller drives it; {what}: trials 3, 4, at once\n"
    assert f"2 {state}" in command("study", "show", recorded.study_id)[1]


def test_a_controller_is_asked_to_end_a_trial(command, recorded):
    recorded.held("gpu-1 pid 12")
    code, output = command("study", "prune", recorded.study_id, "3")
    assert code == 0 and output == "asked gpu-1 pid 12 to prune trial 3\n"
    task_id = Study.load(recorded.study_id).trials[3].task_id
    assert Study.load(recorded.study_id).orders == [{"do": "end", "number": 3, "task_id": task_id, "how": "prune"}]


def test_a_larger_budget(command, recorded):
    code, output = command("study", "extend", recorded.study_id, "--trials", "20")
    assert code == 0 and output == (
        f"study {recorded.name}: no controller drives it; the budget counts for: "
        f"clearml-hpo resume {recorded.study_id}\n"
    )
    assert Study.load(recorded.study_id).orders == [{"do": "extend", "budget": {"trials": 20}}]


def test_a_range_is_narrowed_and_widened(command, recorded):
    code, output = command("study", "narrow", recorded.study_id, "x", "--low", "1e-2", "--high", "0.5")
    assert code == 0 and "no controller drives it; it counts for: clearml-hpo resume" in output
    assert command("study", "narrow", recorded.study_id, "kind", "--choice", "b")[0] == 0
    limits = {"General/x": {"low": 0.01, "high": 0.5}, "General/kind": {"choices": ["b"]}}
    assert Study.load(recorded.study_id).narrowed == limits
    assert command("study", "narrow", recorded.study_id, "x")[0] == 0
    assert Study.load(recorded.study_id).narrowed == {"General/kind": {"choices": ["b"]}}
    code, output = command("study", "narrow", recorded.study_id, "x", "--low", "7")
    assert code == 2 and "General/x: found 7; allowed" in output


def test_an_unknown_study(command, recorded):
    code, output = command("study", "show", recorded.name + "x")
    assert code == 2 and f"did you mean '{recorded.name}'" in output


def test_where_no_server_was_ever_used(command, monkeypatch, tmp_path):
    monkeypatch.delenv("CLEARML_API_HOST")
    monkeypatch.setenv("CLEARML_CONFIG_FILE", str(tmp_path / "none.conf"))
    code, output = command("study", "list")
    assert code == 2 and "no ClearML server is configured" in output
