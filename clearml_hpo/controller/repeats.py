"""Values of earlier studies, which count once this study's own trials have repeated some of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.search.mirror import Known

ENOUGH = 2  # points at which two studies agree; one may do so by chance, where the metric is coarse
_DIGITS = 1e-9  # relative; a server keeps values as doubles


@dataclass(frozen=True)
class EarlierValues:
    """What an earlier study knows.

    Attributes:
        study: its name, for users.
        known: its completed trials.
    """

    study: str
    known: Sequence[Known]


class Repeats:
    """Watches the trials of a study, and tells the sampler what earlier studies know as soon as that is sure to hold.

    Template and constants say nothing of a file whose content has changed, or of code that reads the newest data. Equal
    values at equal points do.
    """

    def __init__(
        self, earlier: Sequence[EarlierValues], tell: Callable[[Known], None], on_note: Callable[[str], None]
    ) -> None:
        """``tell`` is called once for each trial of an earlier study that counts."""
        self._open: dict[_Watched, set[int]] = {_Watched(each): set() for each in earlier}
        self._tell = tell
        self._note = on_note

    def see(self, trial: Trial) -> None:
        """Holds a trial that has ended against the earlier ones at the same point."""
        if trial.state is not TrialState.COMPLETED or trial.final_values is None or trial.is_imported:
            return
        for watched in [*self._open]:
            found = watched.at(trial)
            if found is None:
                continue
            study = watched.values.study
            if not _is_same(found.values, trial.final_values):
                del self._open[watched]
                self._note(
                    f"warm start: trial {trial.number} has {_shown(trial.final_values)}, and {study} had "
                    f"{_shown(found.values)} at the same point: its values do not count"
                )
                continue
            self._open[watched].add(id(found))
            if len(self._open[watched]) >= ENOUGH:
                del self._open[watched]
                for known in watched.values.known:
                    self._tell(known)
                self._note(
                    f"warm start: this study repeats the values of {study}: its {len(watched.values.known)} trials "
                    "are known to the sampler"
                )


class _Watched:
    """An earlier study, looked up by point."""

    def __init__(self, values: EarlierValues) -> None:
        self.values = values
        self._by_point = {frozenset(known.params.items()): known for known in values.known}

    def at(self, trial: Trial) -> Known | None:
        return self._by_point.get(frozenset(trial.params.items()))


def _is_same(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(math.isclose(a, b, rel_tol=_DIGITS) for a, b in zip(one, other, strict=True))


def _shown(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.12g}" for value in values)
