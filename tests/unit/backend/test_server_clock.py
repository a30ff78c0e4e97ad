"""By how much a server's clock is ahead, from the Date of an answer."""

import time
from email.utils import formatdate

import pytest

from clearml_hpo.backend.api import _ahead


@pytest.mark.parametrize("ahead_s", [-3600, -30, 30, 3600])
def test_a_clock_that_is_ahead_is_known_to_a_second(ahead_s):
    assert _ahead(formatdate(time.time() + ahead_s, usegmt=True)) == pytest.approx(ahead_s, abs=1.0)


def test_whole_seconds_do_not_make_the_same_clock_another_one():
    assert _ahead(formatdate(time.time(), usegmt=True)) == 0.0 == _ahead(None)
