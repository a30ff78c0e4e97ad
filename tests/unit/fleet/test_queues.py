from __future__ import annotations

import pytest

from clearml_hpo.backend.codes import QUEUE_CLOSED
from clearml_hpo.fleet.queues import Gates, remove_queue

from .fake_client import FakeClient


@pytest.fixture
def gates(client: FakeClient) -> Gates:
    return Gates(client, lambda: None)  # type: ignore[arg-type]


def test_two_holders_share_a_gate(gates: Gates, client: FakeClient) -> None:
    with gates.hold("q1"):
        with gates.hold("q1"):
            assert gates.closed == ("q1",)
        assert client.queue["tags"] == ["mine", QUEUE_CLOSED]
    assert gates.closed == ()
    assert client.queue["tags"] == ["mine"]


def test_a_gate_is_recorded_before_it_is_closed(client: FakeClient) -> None:
    recorded: list[tuple[tuple[str, ...], int]] = []
    gates = Gates(client, lambda: recorded.append((gates.closed, len(client.calls))))  # type: ignore[arg-type]
    with gates.hold("q1"):
        assert recorded == [(("q1",), 0)]


def test_a_queue_is_removed_with_what_is_in_it(client: FakeClient) -> None:
    remove_queue(client, "trials")  # type: ignore[arg-type]
    assert client.named("queues.delete") == [{"queue": "q1", "force": True}]
