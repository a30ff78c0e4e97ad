"""docs/failures.md says of each way to fail what the code makes of it."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from clearml_hpo.backend.trial_tasks import TaskSnapshot
from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.trial import RETRYABLE, Trial, TrialState
from clearml_hpo.scheduler.endings import ending_of
from clearml_hpo.study_file.models import FailuresSpec

DOCS = (Path(__file__).parents[2] / "docs" / "failures.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in DOCS.partition("## What counts")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| what happens")
]
GOAL = Goal((Objective("validation", "loss"),))
VALUES = {TrialState.NO_OBJECTIVE: None, TrialState.NOT_FINITE: math.nan}
ENDS = [
    (re.match(r"\w+", cls)[0], *match.groups(""))
    for _, *recorded, cls, _ in ROWS
    for cell in recorded
    if (match := re.match(r"`(\w+)`(?:: `([^`]*)`)?", cell))
]


@pytest.mark.parametrize(("cls", "status", "reason"), ENDS)
def test_what_a_server_records_has_the_class(cls, status, reason):
    state = TrialState(cls)
    hangs = status == "stopped" and state is TrialState.FAILED
    wish = (TrialState.FAILED, "it hangs") if hangs else None
    trial = Trial(0, {}, "t", values=(VALUES.get(state, 0.5),))
    found = ending_of(trial, TaskSnapshot("t", status, reason=reason), GOAL, wish)
    assert found is not None and found[0] is state


def test_every_class_has_its_retries():
    documented = {re.match(r"\w+", cls)[0]: int(retries) for *_, cls, retries in ROWS}
    assert documented == {state.value: getattr(FailuresSpec(), state.value).retries for state in RETRYABLE}
    assert len(ENDS) >= 20
