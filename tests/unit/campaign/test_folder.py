"""Names of a campaign's files."""

from __future__ import annotations

from clearml_hpo.campaign.folder import _distinct


def test_no_two_are_alike():
    names = ["a b", "a/b", "a_b-2", "A_B", "c"]
    assert [*_distinct({name: name for name in names}).values()] == ["a_b", "a_b-2", "a_b-2-2", "A_B-3", "c"]
