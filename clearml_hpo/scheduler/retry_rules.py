"""Which trials that ended without a value are run again, how often, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from clearml_hpo.core.trial import TrialState


@dataclass(frozen=True)
class Retry:
    """What happens after an end of one class.

    Attributes:
        times: how often a trial that ends so is run again, as a new attempt.
        queue: where the new attempt goes; empty: where any trial of its parameters goes.
    """

    times: int = 0
    queue: str = ""


@dataclass(frozen=True)
class Failures:
    """What to do about trials that end without a value.

    Attributes:
        retries: by the class of the end; a class that is missing is not run again.
        stop_after: so many ends of the same class in a row stop the study; 0 is never.
        lost_after_s: seconds without a sign of life after which a running trial is taken for lost.
        silent_after_s: seconds without console output or a new scalar after which a running trial is ended as failed.
    """

    retries: Mapping[TrialState, Retry] = field(
        default_factory=lambda: {TrialState.KILLED: Retry(3), TrialState.LOST: Retry(3)}
    )
    stop_after: int = 0
    lost_after_s: float | None = None
    silent_after_s: float | None = None

    def retry(self, state: TrialState, ends: int) -> Retry | None:
        """The retry for a trial of which ``ends`` attempts have ended so, this one included; None to give it up."""
        if state is TrialState.STOPPED:
            return Retry()
        retry = self.retries.get(state)
        return retry if retry is not None and ends <= retry.times else None
