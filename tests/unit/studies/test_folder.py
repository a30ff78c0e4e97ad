"""Names of the files that a report is written to."""

from __future__ import annotations

import pytest

from clearml_hpo.core.goal import Goal, Objective
from clearml_hpo.core.trial import Trial
from clearml_hpo.studies.folder import score_name

GOAL = Goal((Objective("validation", "auc"),))


@pytest.mark.parametrize(
    ("address", "ending"),
    [
        ("http://files/a.csv", ".csv"),
        ("http://files/a.1.csv.gz?x=1.y", ".csv.gz"),
        ("http://files/a", ""),
        ("http://[files/a.csv", ""),
        ("http://files/a.\0", ""),
        (f"http://files/a.{'x' * 300}", ""),
    ],
)
def test_whatever_an_address_ends_with_the_name_can_be_written(address, ending):
    assert score_name("credit", GOAL, Trial(0, {}, "t", values=(0.5,)), address) == f"credit-validation_auc-0.5{ending}"
