"""Which scalars of a task count as not finite, by its console."""

from __future__ import annotations

import pytest

from clearml_hpo.core.not_finite import Replaced, finite_points

SDK = "2026-11-28 23:00:00 - clearml.metrics - INFO - {} value encountered. Reporting it as '{}'. Use clearml.Logger..."
OURS = "2026-11-28 23:00:00 - clearml.metrics - INFO - Not finite: \"{}\" is nan, reported as '{}'"
LOSS = OURS.format("a/loss", "0.0")


@pytest.mark.parametrize(
    ("console", "loss", "other"),
    [
        ([], False, False),
        (["epoch 1", "loss: nan"], False, False),
        ([SDK.format("NaN", "0.0")], True, True),
        ([SDK.format("inf", 0)], True, True),
        ([SDK.format("NaN", "-0.0")], True, True),
        ([SDK.format("NaN", "1000.0")], False, False),
        ([SDK.format("NaN", "a text")], False, False),
        (["epoch 1\n" + SDK.format("NaN", "0.0") + "\nepoch 2"], True, True),
        ([SDK.format("NaN", "0.0"), LOSS], True, False),
        ([LOSS + "\n" + OURS.format("a/other", "0.0")], True, True),
        ([OURS.format("a/loss", "7.5"), SDK.format("NaN", "7.5")], False, False),
        ([LOSS, OURS.format("*", "0.0")], True, True),
        ([OURS.format("\\q", "0.0")], True, True),
        *(([LOSS[:cut], LOSS[cut:], "epoch 2"], True, False) for cut in range(50, len(LOSS))),
        (["epoch 1", SDK.format("NaN", "0.0")[:60], SDK.format("NaN", "0.0")[60:]], True, True),
    ],
)
def test_what_a_console_tells(console, loss, other):
    replaced = Replaced.told_by(console)
    assert ("a/loss" in replaced, "a/other" in replaced) == (loss, other)


def test_only_zeros_of_a_scalar_that_was_not_finite_do_not_count():
    curve = [(1, 0.5), (2, 0.0), (3, -1.0), (4, 0)]
    assert finite_points(curve, "a/loss", {"a/loss"}) == [(1, 0.5), (3, -1.0)]
    assert finite_points(curve, "a/loss", {"a/other"}) == curve
