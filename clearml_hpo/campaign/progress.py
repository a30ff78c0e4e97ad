"""Where a campaign stands, as a value that views and pages are made from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Running:
    """A trial on a resource; ``since`` is in seconds since the epoch."""

    study: str
    trial: int
    since: float | None


@dataclass(frozen=True)
class ResourceProgress:
    """A resource: what runs on it, and how many trials wait for it.

    Attributes:
        takes: trials at once; None is as many as its queue has workers.
    """

    name: str
    takes: int | None
    running: tuple[Running, ...] = ()
    waiting: int = 0


@dataclass(frozen=True)
class StudyProgress:
    """A study of a campaign.

    Attributes:
        state: waiting, running, completed, failed or stopped.
        trials: how many have ended.
        failures: how many of them ended without a value and were not pruned.
        best: the best value; None if there is none yet.
        left_s: seconds of its time budget that are left; None without one.
        left_trials: the same of its budget of trials.
        reason: why it has ended.
    """

    name: str
    dataset: str
    model: str
    metric: str
    direction: str
    state: str = "waiting"
    trials: int = 0
    failures: int = 0
    best: float | None = None
    left_s: float | None = None
    left_trials: int | None = None
    reason: str = ""
    study_id: str = ""

    def beats(self, other: StudyProgress) -> bool:
        """Whether its best value is better, by its own direction."""
        if self.best is None or other.best is None:
            return self.best is not None
        return self.best > other.best if self.direction == "maximize" else self.best < other.best


@dataclass(frozen=True)
class CampaignProgress:
    """A campaign at one moment.

    Attributes:
        elapsed_s: seconds that it was driven.
        trials_per_hour: trials that ended, by the time that it was driven; None before the first.
        seen_at: seconds since the epoch.
    """

    name: str
    elapsed_s: float
    seen_at: float
    resources: tuple[ResourceProgress, ...]
    studies: tuple[StudyProgress, ...]
    trials_per_hour: float | None = None

    @property
    def datasets(self) -> tuple[str, ...]:
        """In their order."""
        return tuple(dict.fromkeys(study.dataset for study in self.studies))

    @property
    def models(self) -> tuple[str, ...]:
        """In their order."""
        return tuple(dict.fromkeys(study.model for study in self.studies))

    @property
    def trials(self) -> int:
        """How many have ended."""
        return sum(study.trials for study in self.studies)

    @property
    def failures(self) -> int:
        """How many of them ended without a value and were not pruned."""
        return sum(study.failures for study in self.studies)

    def of_dataset(self, dataset: str) -> tuple[StudyProgress, ...]:
        """The studies of a data set."""
        return tuple(study for study in self.studies if study.dataset == dataset)

    def best_of(self, dataset: str) -> StudyProgress | None:
        """The study with the best value of a data set, if all of it look at the same metric."""
        best: StudyProgress | None = None
        studies = self.of_dataset(dataset)
        if len({(study.metric, study.direction) for study in studies}) > 1:
            return None
        for study in studies:
            if study.best is not None and (best is None or study.beats(best)):
                best = study
        return best

    def as_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {**asdict(self), "trials": self.trials, "failures": self.failures}
