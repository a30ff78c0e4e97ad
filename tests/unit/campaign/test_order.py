"""The first data set's studies at once, the next one's where a resource would idle."""

from __future__ import annotations

from dataclasses import dataclass

from clearml_hpo.campaign.order import Order


@dataclass(frozen=True)
class Member:
    name: str
    rank: int
    resources: tuple[str, ...]
    template: str = ""


MEMBERS = [
    Member(f"{dataset}-{model}", rank, resources, model)
    for rank, dataset in enumerate("abc")
    for model, resources in (("xgb", ("gpu0", "gpu1")), ("lgbm", ("gpu0", "gpu1")), ("cat", ("cpu",)))
]


def opened(order, dry=(), beginning=(), *, nothing_is_open=False):
    members = order.next(
        ("gpu0", "gpu1", "cpu"), dry.__contains__, beginning, lambda m: m.template, nothing_is_open=nothing_is_open
    )
    return [member.name for member in members]


def test_data_sets_follow_where_a_resource_would_idle():
    order = Order(MEMBERS)
    assert opened(order, nothing_is_open=True) == ["a-xgb", "a-lgbm", "a-cat"]
    assert opened(order) == []
    assert opened(order, dry=["cpu"]) == ["b-cat"]
    assert opened(order, dry=["cpu"]) == ["c-cat"]
    assert opened(order, dry=["cpu"]) == []
    assert opened(order, dry=["gpu0", "gpu1"]) == ["b-xgb", "b-lgbm"], "those of one data set for both"
    assert opened(order, nothing_is_open=True) == ["c-xgb", "c-lgbm"] and order.is_through


def test_a_study_waits_for_the_first_run_of_its_template():
    order = Order([Member("a-1", 0, ("cpu",), "t"), Member("a-2", 0, ("cpu",), "t"), Member("a-3", 0, ("cpu",), "u")])
    assert opened(order, nothing_is_open=True) == ["a-1", "a-3"]
    assert opened(order, beginning=["t"]) == [] and not order.is_through
    assert opened(order) == ["a-2"] and order.is_through


def test_what_has_ended_before_is_left_out():
    order = Order(MEMBERS[3:])
    assert opened(order, nothing_is_open=True) == ["b-xgb", "b-lgbm", "b-cat"]
