"""Reads studies for all browsers: one thread for each study that someone looks at, and one list of all studies."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import cycle

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.campaigns import list_campaigns
from clearml_hpo.backend.scalars import CHUNK
from clearml_hpo.backend.study_records import StudyRecord, find_studies
from clearml_hpo.backend.trial_tasks import histories_of
from clearml_hpo.core.errors import ApiError, ClearmlHpoError, ServerError, UnreachableError, is_trouble
from clearml_hpo.core.trial import Trial, TrialState
from clearml_hpo.dashboard.head import head_of
from clearml_hpo.dashboard.rows import Rows
from clearml_hpo.dashboard.seen import Seen
from clearml_hpo.studies.study import Study
from clearml_hpo.studies.watching import Watch

REFRESH_S = 2.0
"""How often a study that someone looks at is read."""
_LOOKED_AT_S = 15.0
"""For how long after the last look a study is read on."""
_LIST_S = 5.0
"""How long the list of studies counts."""
_LONGEST_WAIT_S = 30.0
"""The longest time until a server in trouble is asked again."""
_FIRST_S = 60.0
"""How long a page waits until its study is read for the first time."""
# What the second call of a reading is for; the first one is always for the trials that have changed. The calls that are
# left are for counts of workers and, once a minute, for all trials: two calls a reading in all.
_SECOND = ("record", "curves", "")
_LOG = logging.getLogger(__name__)


class StudyReader:
    """Reads one study every :data:`REFRESH_S` in a thread, as long as someone looks: two calls a reading."""

    def __init__(self, study: Study) -> None:
        """Nothing is read before :meth:`seen` is called."""
        self.study = study
        self.lock = threading.Lock()  # of the study: held by who reads or steers it
        self.rows = Rows()
        self._api = Api()
        self._watch = Watch(study, self._api)
        self._second = cycle(_SECOND)
        self._seen: Seen | None = None
        self._error: ClearmlHpoError | None = None
        self._is_fresh = False  # whether it was read since the thread has begun
        self._looked_at = float("-inf")
        self._read = threading.Condition()
        self._thread: threading.Thread | None = None

    def seen(self, *, stays: bool = True) -> Seen:
        """The study as it was last read; waits for the first reading after a pause.

        Args:
            stays: who asks goes on looking: it is read for :data:`_LOOKED_AT_S` more.

        Raises:
            InputError: it was deleted, or keeps no study file.
            ClearmlHpoError: it could not be read at all.
        """
        if stays:
            self._looked_at = time.monotonic()
        with self._read:
            if self._thread is None:
                self._error, self._is_fresh = None, False
                self._thread = threading.Thread(target=self._serve, name=f"reads {self.study.name}", daemon=True)
                self._thread.start()
            self._read.wait_for(lambda: self._is_fresh or self._error is not None, _FIRST_S)
            if self._error is not None and (self._seen is None or not _passes(self._error)):
                raise self._error
            if self._seen is None:
                raise ServerError(f"the study was not read within {_FIRST_S:.0f} s; reload the page")
            return self._seen

    def read_now(self) -> None:
        """Reads all of it at once, after an order."""
        with self.lock:
            self.study.refresh()
            self._step()

    def _serve(self) -> None:
        try:
            self._read_on()
        except Exception:  # a fault of ours: it is said, and the next look tries again
            _LOG.exception("reading study %s failed", self.study.study_id)
            self._failed(ClearmlHpoError("the study cannot be read; the log of the dashboard says why"))
        finally:
            with self._read:
                self._thread = None

    def _read_on(self) -> None:
        wait_s, self._second = REFRESH_S, cycle(_SECOND)
        while True:
            try:
                with self.lock:
                    self._step()
                wait_s = REFRESH_S
            except ClearmlHpoError as error:
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
                self._failed(error)
                if not _passes(error):  # it was deleted, or keeps no file
                    return
            time.sleep(wait_s)
            if time.monotonic() - self._looked_at >= _LOOKED_AT_S:
                return

    def _failed(self, error: ClearmlHpoError) -> None:
        with self._read:
            self._error = error
            if self._seen is not None:
                self._seen = replace(self._seen, version=self._seen.version + 1, problem=str(error))
            self._read.notify_all()

    def _step(self) -> None:
        before, wants = self._seen, next(self._second)
        look = self._watch.look(trials_alone=before is not None and wants != "record")
        study, trials = self.study, look.progress.trials
        curves = before.curves if before else {}
        if has_curves := before is None or wants == "curves":
            running = [t.task_id for t in trials if t.state is TrialState.RUNNING and t.iteration][:CHUNK]
            curves = histories_of(self._api, study.goal, running) if running and study.goal.pruning_objective else {}
        is_moved = before is None or _ended(before.trials) != _ended(trials) or len(before.trials) != len(trials)
        version = before.version + 1 if before else int(time.time())
        self.rows.take(trials, version)
        now = time.time() + self._api.server_ahead_s
        seen = Seen(
            version=version,
            plotted=before.plotted if before and not is_moved else version,
            record=study.record,
            goal=study.goal,
            space=study.file.space,
            trials=trials,
            earlier=study.earlier_attempts,
            look=look,
            budget=study.file.budget,
            spent=study.spent(),
            at=now,
            curved=version if has_curves or before is None else before.curved,
            curves=curves,
        )
        seen = replace(seen, head=head_of(seen))  # here, not in a request: it takes a while with thousands of trials
        with self._read:
            self._seen, self._error, self._is_fresh = seen, None, True
            self._read.notify_all()


class Readers:
    """The readers of all studies that are looked at, and the list of studies."""

    def __init__(self) -> None:
        self._readers: dict[str, StudyReader] = {}
        self._lock = threading.Lock()
        self._list: tuple[Sequence[StudyRecord], Mapping[str, str]] = (), {}
        self._listed_at = float("-inf")

    def studies(self) -> tuple[Sequence[StudyRecord], Mapping[str, str]]:
        """All studies, newest first, and the names of campaigns by id; read anew every :data:`_LIST_S` at most.

        Raises:
            ServerError: no ClearML server answers.
        """
        with self._lock:
            if time.monotonic() - self._listed_at >= _LIST_S:
                campaigns = {each.campaign_id: each.name for each in list_campaigns(self._api)}
                self._list = find_studies(self._api), campaigns
                self._listed_at = time.monotonic()
            return self._list

    @cached_property
    def _api(self) -> Api:  # not before somebody looks: the server may be away
        return Api()

    def known(self, study: str) -> StudyReader | None:
        """The reader of the study of this id, if there was one before."""
        return self._readers.get(study)

    def reader(self, study: str) -> StudyReader:
        """The reader of a study, by its id, what its id begins with, or its name.

        Raises:
            InputError: there is none.
        """
        if (known := self._readers.get(study)) is not None:
            return known  # without the lock: it may be held for a minute while a server does not answer
        with self._lock:
            found = Study.load(study)
            return self._readers.setdefault(found.study_id, StudyReader(found))

    def now(self) -> float:
        """Seconds since the epoch, by the server's clock."""
        return time.time() + self._api.server_ahead_s

    def forget(self, study: str) -> None:
        """Forgets a study that was deleted."""
        with self._lock:
            self._readers.pop(study, None)
        self.list_anew()

    def list_anew(self) -> None:
        """Has the list of studies read by the next who asks for it."""
        with self._lock:
            self._listed_at = float("-inf")


def _ended(trials: Sequence[Trial]) -> int:
    return sum(not trial.state.is_live for trial in trials)


def _passes(error: ClearmlHpoError) -> bool:
    """Whether the server is in trouble; else the study was deleted, or cannot be read."""
    return isinstance(error, (ApiError, UnreachableError)) and is_trouble(error)
