from __future__ import annotations

import json

import pytest

from clearml_hpo.backend.orders import End, Extend, Try, pending, plain

ORDERS = [Try({"General/x": 0.5, "General/kind": "a"}), End(3, "t3", "prune"), Extend({"trials": 20})]


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_is_read_as_it_was_given(order):
    text = json.dumps(plain(order))
    assert pending({"order_1": text, "holder": "x", "order_0": ""}) == {"order_1": order}


def test_the_oldest_comes_first():
    texts = {f"order_{place}": json.dumps(plain(order)) for place, order in enumerate(ORDERS)}
    assert list(pending(dict(reversed(texts.items()))).values()) == ORDERS


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "7",
        "{}",
        '{"do": "dance"}',
        '{"do": "try"}',
        '{"do": "try", "params": 7}',
        '{"do": "try", "params": {"x": [1]}}',
        '{"do": "end", "number": 1, "task_id": "t", "how": "kill"}',
        '{"do": "extend", "budget": []}',
        '{"do": "extend", "budget": {}, "more": 1}',
    ],
)
def test_what_a_user_has_spoilt_is_no_order(text):
    assert pending({"order_1": text}) == {"order_1": None}
