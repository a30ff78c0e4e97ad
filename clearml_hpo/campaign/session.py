"""An open study of a campaign: a thread that drives it as ``run`` drives one by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.backoff import with_backoff
from clearml_hpo.campaign.progress import Running, StudyProgress
from clearml_hpo.campaign.resources import Share
from clearml_hpo.campaign.serving import Serving
from clearml_hpo.controller.executors import MakeExecutor, on_queues
from clearml_hpo.controller.opening import Opening
from clearml_hpo.controller.run import Outcome, StudyRun
from clearml_hpo.core.errors import ClearmlHpoError
from clearml_hpo.core.notes import note_of
from clearml_hpo.core.trial import Trial, TrialState, best_trial
from clearml_hpo.study_file import Member, StudyFile
from clearml_hpo.views.display import Progress
from clearml_hpo.views.screen import Untaken

_log_in = threading.Lock()  # the SDK's session keeps what a server has told in its class


class Session(Untaken):
    """Drives one study, from :meth:`start` to its end; it is its own view.

    Attributes:
        outcome: how it has ended; None as long as it has not, or if it could not be driven to its end.
        error: why it could not.
    """

    def __init__(
        self,
        member: Member,
        campaign_id: str,
        share: Share,
        serving: Serving,
        on_note: Callable[[str], None],
        *,
        take_over: bool = False,
    ) -> None:
        """Nothing runs yet; ``take_over`` displaces a controller that drives the study."""
        self._take_over = take_over
        self.member = member
        self.share = share
        self.outcome: Outcome | None = None
        self.error: BaseException | None = None
        self._campaign_id = campaign_id
        self._serving = serving
        self._on_note = on_note
        self._stopped = threading.Event()
        self._aborts = True
        self._run: StudyRun | None = None
        self._progress = Progress((), 0, 0.0)
        self._seen_at = time.monotonic()
        self._thread = threading.Thread(target=self._drive, name=f"study {member.name}", daemon=True)

    def start(self) -> None:
        """Opens the study, and drives it."""
        self._thread.start()

    def stop(self) -> None:
        """Has it end its trials, so that it can go on later."""
        self._stopped.set()

    def leave(self) -> None:
        """Has it let go of the study; trials that run are left to the controller that has taken over."""
        self._aborts = False
        self._stopped.set()

    @property
    def is_alive(self) -> bool:
        """Whether it is driven."""
        return self._thread.is_alive()

    @property
    def is_concluding(self) -> bool:
        """Whether only reports are left to be made."""
        return self._run is not None and self._run.is_concluding

    @property
    def status(self) -> str:
        """How it has ended: completed, stopped or failed."""
        return self.outcome.status if self.outcome else "failed" if self.error else "stopped"

    @property
    def reason(self) -> str:
        """Why it has ended."""
        if self.error is not None:
            return str(self.error) or type(self.error).__name__
        return self.outcome.reason if self.outcome else ""

    @property
    def left_s(self) -> float | None:
        """Seconds that are left of its time budget; None without one."""
        limit = self.member.file.budget.wall_s
        elapsed = self._progress.elapsed_s
        if elapsed:
            elapsed += time.monotonic() - self._seen_at
        return None if limit is None else max(0.0, limit - elapsed)

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All of its trials, as last seen."""
        return tuple(self._progress.trials)

    def running(self) -> list[tuple[str, Running]]:
        """The trials that run, each with its queue."""
        live = [trial for trial in self.trials if trial.state is TrialState.RUNNING]
        return [(trial.queue, Running(self.member.name, trial.number, trial.started_at)) for trial in live]

    def seen(self) -> StudyProgress:
        """Where it stands."""
        trials, goal, limit = self.trials, self.member.file.goal, self.member.file.budget.trials
        ended = [trial for trial in trials if not trial.state.is_live and trial.state is not TrialState.STOPPED]
        best = best_trial(trials, goal)
        return StudyProgress(
            self.member.name,
            self.member.dataset,
            self.member.model,
            goal.objectives[0].metric,
            goal.objectives[0].direction,
            "running" if self.is_alive else self.status,
            len(ended),
            sum(trial.state.is_failure for trial in ended),
            best.value if best else None,
            self.left_s,
            None if limit is None else max(0, limit - len(ended)),
            "" if self.is_alive else self.reason,
        )

    # --- what the study tells its view -------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Passes it on, with the study's name."""
        self._on_note(note_of(self.member.name, text))

    def trial(self, trial: Trial) -> None:
        """Charges the study with a trial that has ended."""
        self.share.charge([trial])

    def progress(self, progress: Progress) -> None:
        """Remembers it; what earlier controllers have run counts too."""
        self.share.charge([*progress.trials, *progress.earlier])
        self._progress, self._seen_at = progress, time.monotonic()

    # --- the thread --------------------------------------------------------------------------------------------------

    def _drive(self) -> None:
        try:
            api = with_backoff(_logged_in, self.note, self._stopped)
            opening = Opening(api, self._place, self._stopped, self.note, take_over=self._take_over)
            with api.asking_again(self.note, self._stopped):
                opened = opening.from_file(self.member.file, campaign=self._campaign_id)
            aborts, room = lambda: self._aborts, self.share.room
            self._run = StudyRun(opened, api, self, self._stopped, aborts=aborts, room=room)
            self.outcome = self._run.run()
        except KeyboardInterrupt:
            pass  # stopped before it began
        except ClearmlHpoError as error:
            self.error = error
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.share.leave()

    def _place(self, api: Api, file: StudyFile) -> tuple[StudyFile, MakeExecutor]:
        executor = self._serving.executor(api, self.member.resources)
        return on_queues(file, self.share.queues), lambda study_id, templates: executor


def _logged_in() -> Api:
    with _log_in:
        return Api()
