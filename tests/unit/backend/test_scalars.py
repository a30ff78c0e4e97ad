"""What tasks have reported, as ClearML tells it: last values in two steps, long curves as means of intervals."""

from __future__ import annotations

import math

import pytest

from clearml_hpo.backend.scalars import CHUNK, curves_of, summaries_of
from clearml_hpo.backend.trial_tasks import histories_of, snapshot_of
from clearml_hpo.core.errors import ApiError
from clearml_hpo.core.goal import Goal, MetricSummary, Objective

LOSS = Objective("validation", "loss")


class Reports:
    """Answers for scalars as ClearML's server does: limits, means of intervals, pages of raw events."""

    def __init__(self, **curves):
        self.curves = curves
        self.calls = []

    def call(self, endpoint, **body):
        self.calls.append((endpoint, body))
        return getattr(self, endpoint.partition(".")[2])(**body)

    def multi_task_scalar_metrics_iter_histogram(self, tasks, key, samples, metrics):
        assert 1 <= samples <= 6000 and 1 <= len(tasks) <= 100 and key == "iter"
        if not set(tasks) <= set(self.curves):
            raise ApiError("events.multi_task_scalar_metrics_iter_histogram", 400, 101, "Invalid task id")
        found = {task: self._thinned(self.curves[task], samples) for task in tasks if self.curves[task]}
        return {"metrics": {metric["metric"]: dict.fromkeys(metric["variants"], found) for metric in metrics}}

    @staticmethod
    def _thinned(curve, samples):
        curve = [point for point in curve if point[0] != -(2**31)]  # a single value is in no histogram
        interval = math.ceil((curve[-1][0] - curve[0][0] + 1) / samples)
        groups = {}
        for step, value in curve:
            groups.setdefault(curve[0][0] + (step - curve[0][0]) // interval * interval, []).append(value)
        means = {x: None if None in group else sum(group) / len(group) for x, group in groups.items()}
        return {"x": [*means], "y": [*means.values()]}

    def scalar_metrics_iter_raw(self, task, metric, key, batch_size, scroll_id="0", count_total=False):
        if task not in self.curves:
            raise ApiError("events.scalar_metrics_iter_raw", 400, 101, "Invalid task id")
        start = int(scroll_id)
        part = self.curves[task][start : start + min(batch_size, 10_000)]
        series = {"iter": [step for step, _ in part], "y": [value for _, value in part]}
        return {
            "returned": len(part),
            "total": len(self.curves[task]) if count_total else None,
            "scroll_id": str(start + len(part)),
            "variants": {metric["variants"][0]: series} if part else {},
        }

    def get_all(self, id, only_fields, search_hidden):
        return {"tasks": [{"id": task} for task in id if task in self.curves]}

    def count(self, endpoint):
        return sum(name == f"events.{endpoint}" for name, _ in self.calls)


def curve(length, every=1, start=0):
    return [(start + step * every, math.sin(step)) for step in range(length)]


@pytest.mark.parametrize(
    "long",
    [
        pytest.param(curve(6_001), id="a point too many"),
        pytest.param(curve(25_000), id="several pages"),
        pytest.param(curve(50, every=1_000), id="few points far apart"),
        pytest.param([(1, 0.5), (6_001, 0.25)], id="two points"),
    ],
)
def test_a_long_curve_has_its_real_steps_and_values(long):
    api = Reports(long=long, short=curve(20))
    assert curves_of(api, LOSS, ["long", "short"]) == {"long": long, "short": curve(20)}
    assert api.count("scalar_metrics_iter_raw") == math.ceil(len(long) / 10_000)


def test_a_curve_that_is_known_to_be_long_is_not_asked_for_twice():
    api, known = Reports(long=curve(7_000), short=curve(20)), set()
    for _ in range(3):
        curves_of(api, LOSS, ["long", "short"], known)
    asked = [body["tasks"] for name, body in api.calls if name.endswith("histogram")]
    assert asked == [["long", "short"], ["short"], ["short"]] and known == {"long"}
    assert api.count("scalar_metrics_iter_raw") == 3


def test_curves_that_fit_are_one_call_for_every_hundred():
    api = Reports(**{f"t{number}": curve(3) for number in range(250)})
    assert len(curves_of(api, LOSS, [*api.curves])) == 250
    assert [len(body["tasks"]) for _, body in api.calls] == [CHUNK, CHUNK, 50]


def test_a_report_without_a_value_or_an_iteration_is_none():
    single = [(-(2**31), 9.0), *curve(7_000)]
    assert curves_of(Reports(a=single), LOSS, ["a"]) == {"a": curve(7_000)}
    assert curves_of(Reports(a=[(1, 0.5), (2, None), (3, 0.25)]), LOSS, ["a"]) == {"a": [(1, 0.5), (3, 0.25)]}


def test_a_deleted_task_leaves_the_others_their_curves():
    api, known = Reports(a=curve(5)), {"long and gone"}
    assert curves_of(api, LOSS, ["gone", "a", "long and gone"], known) == {"a": curve(5)}


def test_no_task_is_no_call():
    api = Reports()
    assert curves_of(api, LOSS, []) == {} and api.calls == []


def test_of_several_objectives_the_first_one_counts_iterations():
    assert histories_of(Reports(a=curve(5)), Goal((LOSS, Objective("test", "time"))), ["a"]) == {"a": curve(5)}


def last(**entry):
    return {"m": {"v": {"metric": "validation", "variant": "loss", **entry}}}


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"value": 0.5}, MetricSummary(0.5, 0.5, 0.5, 0)),
        ({"value": 0.5, "min_value": 0.25, "max_value": 0.75, "count": 3}, MetricSummary(0.5, 0.25, 0.75, 3)),
        ({"value": 0, "min_value": None, "count": None}, MetricSummary(0, 0, 0, 0)),
    ],
)
def test_a_metric_appears_in_two_steps(entry, expected):
    assert summaries_of(last(**entry)) == {"validation/loss": expected}
    snapshot = snapshot_of({"id": "t", "last_metrics": last(**entry)})
    assert snapshot.summaries == {"validation/loss": expected}


@pytest.mark.parametrize("found", [None, {}, {"m": None}, {"m": {"v": {}}}, last(), last(value=None)])
def test_what_is_not_there_yet_is_not_reported(found):
    assert summaries_of(found) == {}
