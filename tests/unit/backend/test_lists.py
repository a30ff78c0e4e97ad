"""Lists longer than what a server gives in one call: 500 rows, whatever is asked for."""

from __future__ import annotations

import pytest

from clearml_hpo.backend.lists import by_id, rows
from clearml_hpo.backend.pilots import pilots_of
from clearml_hpo.backend.study_records import find_studies
from clearml_hpo.controller.warm_start import known_before
from clearml_hpo.study_file import parse_study

MOST = 500
STUDY = """\
study: warm
project: some
template: {task: t}
search_space:
  General/x: {type: float, low: 0.0, high: 1.0}
objective: {metric: validation/loss, direction: minimize}
budget: {trials: 10}
execution: {queue: queue}
"""


class Rows:
    """Lists of ClearML's server: no more than 500 rows, and pages in steps of min(page_size, 500)."""

    def __init__(self, count, **fields):
        self.rows = [{"id": f"{number:032x}", **fields} for number in range(count)]
        self.calls = []

    def call(self, endpoint, *, id=None, page=0, page_size=MOST, **filters):
        self.calls.append(endpoint)
        step = min(page_size, MOST)
        matching = self.rows if id is None else [row for row in self.rows if row["id"] in set(id)]
        return {endpoint.partition(".")[0]: matching[page * step : (page + 1) * step]}

    def task_url(self, *of):
        return "/".join(of)


@pytest.mark.parametrize(("count", "calls"), [(0, 1), (3, 1), (499, 1), (500, 2), (1_203, 3)])
def test_every_row_is_read_once(count, calls):
    api = Rows(count)
    assert list(rows(api, "tasks")) == api.rows and len(api.calls) == calls


@pytest.mark.parametrize(("limit", "calls"), [(1, 1), (500, 1), (501, 2), (1_000, 2), (5_000, 3)])
def test_no_more_than_wanted(limit, calls):
    api = Rows(1_203)
    assert list(rows(api, "tasks", limit=limit)) == api.rows[:limit] and len(api.calls) == calls


def test_more_ids_than_a_call_answers():
    api = Rows(1_203)
    ids = [row["id"] for row in api.rows]
    assert [*by_id(api, "tasks", [*ids, "gone"], ["name"])] == ids and len(api.calls) == 3
    assert by_id(api, "tasks", [], ["name"]) == {} and len(api.calls) == 3


def test_all_studies_are_found():
    assert len(find_studies(Rows(1_203, name="a", type="optimizer"))) == 1_203


def test_all_pilots_of_a_study_are_found():
    """Of those that are not, more would be started for ever."""
    assert len(pilots_of(Rows(1_203, status="completed"), "study")) == 1_203


def test_a_warm_start_of_many_tasks_knows_them_all():
    entry = {"section": "General", "name": "x", "value": "0.5", "type": "float"}
    value = {"metric": "validation", "variant": "loss", "value": 0.25}
    api = Rows(1_203, status="completed", hyperparams={"General": {"x": entry}}, last_metrics={"m": {"v": value}})
    tasks = "".join(f"  - '{row['id']}'\n" for row in api.rows)
    file = parse_study(f"{STUDY}warm_start:\n- tasks:\n{tasks}", "study.yaml")
    assert len(known_before(file, api, lambda text: None)) == 1_203
