"""The list of studies: filtered, grouped by campaign, with a line of best values for those that are in sight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clearml_hpo.backend.codes import IDLE
from clearml_hpo.backend.lease import is_held_by
from clearml_hpo.backend.study_records import StudyRecord
from clearml_hpo.core.trial import best_trial
from clearml_hpo.dashboard.head import driver_text
from clearml_hpo.dashboard.seen import Seen
from clearml_hpo.report.figures.plot import evenly

_MOST_STUDIES = 500
_POINTS = 60  # of a line


@dataclass(frozen=True)
class Filter:
    """Which studies are shown.

    Attributes:
        text: in the name, the project or the id; any case.
        project: this one alone; empty is all.
        state: ClearML's word for the controller task; empty is all.
    """

    text: str = ""
    project: str = ""
    state: str = ""

    def chosen(self, studies: Sequence[StudyRecord]) -> Sequence[StudyRecord]:
        """The studies that it lets through, at most 500 of them."""
        return [study for study in studies if self._takes(study)][:_MOST_STUDIES]

    def _takes(self, study: StudyRecord) -> bool:
        words = f"{study.name}\n{study.project}\n{study.study_id}".lower()
        return self.text.lower() in words and self.project in ("", study.project) and self.state in ("", study.status)


@dataclass(frozen=True)
class Listed:
    """A study in the list.

    Attributes:
        progress: ended trials of the budget, such as ``12/50``.
        is_driven: whether a controller has lately shown that it drives it.
        campaign: the name of the campaign that it belongs to; empty if to none.
    """

    record: StudyRecord
    is_driven: bool
    campaign: str

    @property
    def progress(self) -> str:
        """Ended trials and the budget, as the controller has published them."""
        return self.record.properties.get("trials", "")

    @property
    def state(self) -> str:
        """ClearML's word for the controller task; ``idle`` if its gateway goes on with it at the next ask."""
        is_idle = self.record.status == "stopped" and self.record.reason.startswith(IDLE)
        return "idle" if is_idle else self.record.status

    @property
    def driver(self) -> str:
        """The host and the process that drive it; empty if none does."""
        return driver_text(self.record.holder) if self.is_driven else ""


def listed(studies: Sequence[StudyRecord], campaigns: Mapping[str, str], now: float) -> Sequence[Listed]:
    """As the list shows them.

    Args:
        campaigns: names by id.
        now: seconds since the epoch, by the server's clock.
    """
    return [
        Listed(each, is_held_by(each.holder, each.updated_at or 0.0, now), campaigns.get(each.campaign_id, ""))
        for each in studies
    ]


def sparkline(seen: Seen) -> Sequence[float]:
    """The best value after each trial that completed, thinned to 60; of several objectives the first."""
    found: list[float] = []
    done = [trial for trial in seen.trials if trial.final_values is not None and trial.is_feasible]
    for trial in done:
        value = (trial.final_values or ())[0]
        better = not found or seen.goal.objectives[0].better(value, found[-1])
        found.append(value if better else found[-1])
    return evenly(found, _POINTS)


def progress_text(seen: Seen) -> str:
    """Ended trials of the budget, such as ``12/50``; a controller publishes the same, but not with each trial."""
    ended = sum(not trial.state.is_live for trial in seen.trials)
    return f"{ended}/{seen.budget.trials}" if seen.budget.trials else str(ended)


def best_text(seen: Seen) -> str:
    """The best value to six digits; empty if no trial has completed."""
    best = best_trial(seen.trials, seen.goal)
    return "" if best is None or best.value is None else f"{best.value:.6g}"
