from __future__ import annotations

import csv
import io

import pytest

from clearml_hpo.core.goal import Goal, MetricConstraint, Objective
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.studies.rows import columns_of, iso, rows_of, to_csv

LOSS, SIZE = Objective("validation", "loss"), Objective("model", "bytes")


def rows(trials, goal, params=("General/x",)):
    return rows_of(trials, goal, params, lambda trial: f"http://web/{trial.task_id}")


def test_a_row_has_what_its_columns_say_in_their_order():
    trial = Trial(
        3,
        {"General/x": 0.5},
        "t3",
        2,
        TrialState.COMPLETED,
        (0.25,),
        started_at=10.0,
        ended_at=12.50000190735,
        queue="gpu",
    )
    (row,) = rows([trial], Goal((LOSS,)))
    assert list(row) == columns_of(Goal((LOSS,)), ["General/x"])
    assert (row["number"], row["attempt"], row["state"], row["validation/loss"]) == (3, 2, "completed", 0.25)
    assert (row["params.General/x"], row["duration_s"], row["queue"]) == (0.5, 2.5, "gpu")
    assert (row["queued_at"], row["started_at"]) == (None, "1970-01-01T00:00:10.000+00:00")
    assert row["url"] == "http://web/t3"


def test_every_objective_has_a_column_and_constraints_have_one_together():
    goal = Goal((LOSS, SIZE), (MetricConstraint("latency", "ms", high=5.0),))
    kept, broken = Trial(0, {}, "a", values=(0.5, 9.0)), Trial(1, {}, "b", values=(0.25, None), violations=(2.0,))
    first, second = rows([kept, broken], goal)
    assert (first["validation/loss"], first["model/bytes"], first["is_feasible"]) == (0.5, 9.0, True)
    assert (second["validation/loss"], second["model/bytes"], second["is_feasible"]) == (0.25, None, False)
    assert "is_feasible" not in columns_of(Goal((LOSS,)), [])


def test_what_a_trial_has_not_is_none():
    (row,) = rows([Trial(0, {}, "a")], Goal((LOSS,)))
    assert row["validation/loss"] is None and row["params.General/x"] is None and row["duration_s"] is None


def test_csv_keeps_texts_whole():
    goal = Goal((LOSS,))
    text = to_csv(rows([Trial(0, {}, "a", reason='no "memory",\nnone at all')], goal), columns_of(goal, ["General/x"]))
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["reason"] == 'no "memory",\nnone at all' and row["params.General/x"] == ""


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        *((text, f"'{text}") for text in ("=1+1", "+cmd|' /C calc'!A0", "-x", "@SUM(A1)", "\t=1")),
        ("\r=1", "'\n=1"),
        *((text, text) for text in ("-1.5", "+3", "-1e-5", "1=1", "a-b", "", "'=1")),
        *((number, str(number)) for number in (-1, -0.5)),
    ],
)
def test_text_that_a_spreadsheet_would_compute_is_text(value, cell):
    (row,) = csv.DictReader(io.StringIO(to_csv([{"value": value}], ["value"]), newline=""))
    assert row["value"] == cell


def test_names_of_columns_are_text_too():
    assert to_csv([], ["number", "params.General/x", "=1+1"]) == "number,params.General/x,'=1+1\n"


def test_times_are_in_utc():
    assert iso(None) is None
    assert iso(1_700_000_000.1234) == "2023-11-14T22:13:20.123+00:00"
