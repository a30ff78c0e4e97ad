"""Work that may fail: what is told, what is raised on."""

from __future__ import annotations

import pytest

from clearml_hpo.core.best_effort import BestEffort
from clearml_hpo.core.errors import ApiError, HeldError, InputError, ServerError, UnreachableError


def failing(error):
    def work():
        raise error

    return work


def test_what_succeeds_is_returned():
    assert BestEffort(pytest.fail).attempt("it is missing", lambda: 3) == 3


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError("auto"), "it is missing: KeyError: 'auto'"),
        (OverflowError(), "it is missing: OverflowError"),
        (ServerError("the file server took nothing"), "it is missing: the file server took nothing"),
        (InputError("x is unknown"), "it is missing: x is unknown"),
        (ApiError("events.add", 400, 12, "no"), "it is missing: events.add was refused (400/12): no"),
        (BrokenPipeError(32, "Broken pipe"), "it is missing: BrokenPipeError: [Errno 32] Broken pipe"),
    ],
)
def test_what_fails_is_told_once(error, told):
    notes = []
    effort = BestEffort(notes.append)
    assert effort.attempt("it is missing", failing(error)) is None
    assert effort.attempt("it is missing", failing(error)) is None
    assert notes == [told]
    effort.attempt("another is missing", failing(error))
    assert len(notes) == 2


@pytest.mark.parametrize(
    "error",
    [
        ApiError("events.add", 503, 0, "busy"),
        ApiError("events.add", 429, 0, "too many"),
        UnreachableError("nobody answers"),
        HeldError("another controller drives it"),
        KeyboardInterrupt(),
    ],
)
def test_trouble_of_the_server_a_taken_study_and_an_interruption_are_raised(error):
    with pytest.raises(type(error)):
        BestEffort(pytest.fail).attempt("it is missing", failing(error))
