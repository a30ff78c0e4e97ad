"""How a study begins: as a new one, or where another controller has left it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.controller_task import ControllerTask
from clearml_hpo.backend.lease import Lease, stopping_since
from clearml_hpo.backend.names import ensure_project
from clearml_hpo.backend.orders import Extend, Try, pending
from clearml_hpo.backend.study_records import StudyRecord, find_studies, read_study
from clearml_hpo.backend.template import (
    Templates,
    faults_of_objectives,
    faults_of_space,
    reported_metrics,
    template_by_id,
)
from clearml_hpo.backend.trial_records import TrialRecords, read_trials
from clearml_hpo.controller.executors import MakeExecutor
from clearml_hpo.controller.first_points import faults_of_first_points
from clearml_hpo.controller.registration import find_or_create_templates
from clearml_hpo.controller.rehearsal import rehearse
from clearml_hpo.controller.repeats import EarlierValues
from clearml_hpo.controller.suggestions import go_on_with_space
from clearml_hpo.controller.warm_start import known_before, values_to_repeat, with_earlier_points
from clearml_hpo.core.errors import Fault, InputError
from clearml_hpo.core.trial import TrialState
from clearml_hpo.executors import Executor
from clearml_hpo.search.mirror import Known, check_storage
from clearml_hpo.search.pruners import NONE
from clearml_hpo.search.space import Constant
from clearml_hpo.study_file import StudyFile, parse_study
from clearml_hpo.study_file.space import POINTS

_FINISHED = ("completed", "published", "closed")
_FIXED = ("search_space", "parameter_constraints", "objective", "metric_constraints", "fidelity")


@dataclass(frozen=True)
class Opened:
    """A study that is about to be driven.

    Attributes:
        executor: runs its trials; None if the study is finished.
        lease: None if the study is finished and nothing is to be driven.
        records: the trials that it has already; None for a new study.
        reporting: the models of which some run has reported the objectives.
        finished: how it ended, if it did and its budget is still the same.
        known: points whose values are known from elsewhere.
        to_repeat: earlier studies whose values count once this one has repeated some of them.
    """

    file: StudyFile
    controller: ControllerTask
    templates: Templates
    executor: Executor | None
    lease: Lease | None
    records: TrialRecords | None = None
    reporting: Collection[str] = ()
    finished: str = ""
    known: Sequence[Known] = ()
    to_repeat: Sequence[EarlierValues] = ()


class Opening:
    """Finds a study on the server, or makes it."""

    def __init__(
        self,
        api: Api,
        prepare: Callable[[Api, StudyFile], tuple[StudyFile, MakeExecutor]],
        stopped: threading.Event,
        on_note: Callable[[str], None],
        *,
        take_over: bool = False,
    ) -> None:
        """Nothing is called yet.

        Args:
            prepare: starts what trials need, once it is known that some will run; may change where they run.
            stopped: set if the user does not want to wait.
            take_over: tells a controller that drives the study to leave it.
        """
        self._api = api
        self._prepare_place = prepare
        self._stopped = stopped
        self._note = on_note
        self._take_over = take_over

    def from_file(self, file: StudyFile, *, new: bool = False, campaign: str = "") -> Opened:
        """The study of this name in its project, or in a campaign; one that exists goes on, unless ``new``.

        Raises:
            InputError: the server lacks a parameter, the metric or the template, or the study has another space.
            HeldError: another controller drives it.
        """
        spec = file.spec
        project_id = ensure_project(self._api, spec.project)
        templates = find_or_create_templates(self._api, spec.template, project_id, file.space)
        reporting = check_templates(self._api, file, templates)
        among = {"campaign": campaign} if campaign else {"project": spec.project}
        found = [] if new else find_studies(self._api, name=spec.study, limit=1, **among)
        if found:
            stored = parse_study(found[0].study_yaml, f"study {found[0].study_id}")
            go_on_with_space(file, stored)
            if not (differences(stored, file, ids_of(templates)) and self._has_no_value(found[0], stored)):
                self._refuse_differences(found[0], stored, file, templates)
                is_same = stored.data["budget"] == file.data["budget"]
                if not file.names_pruner and stored.spec.pruner.name == NONE:
                    file = file.with_pruner(NONE)  # a change of the default changes no study
                if any(source.auto for source in file.spec.warm_start):  # what was found then is kept
                    points = [point for point in stored.first if point not in file.first]
                    file = file.with_first(points, _to_repeat(stored))
                file = file.with_known_points_of(stored)
                return self._go_on(found[0], file, templates, reporting, is_same=is_same)
            self._note(
                f"the study {spec.study} of before ({found[0].study_id}) ended without a value: this one replaces it"
            )
        file = with_earlier_points(file, ids_of(templates), self._api, self._note)
        to_repeat = values_to_repeat(file, self._api, self._note)
        warm = known_before(file, self._api, self._note)
        file, make_executor = self._prepare(file)
        lease = Lease(self._api, "", wait=self._stopped.wait)
        controller = ControllerTask.create(
            self._api,
            name=spec.study,
            project_id=project_id,
            study_yaml=file.text(ids_of(templates)),
            properties=lease.properties(),
            parent=campaign,
        )
        lease = lease.on(controller.task_id)
        executor = _made(make_executor, controller, templates, lease)
        return Opened(
            file, controller, templates, executor, lease, reporting=reporting, known=warm, to_repeat=to_repeat
        )

    def by_id(self, study: str, overrides: Sequence[str] = ()) -> Opened:
        """The study of this id or name, as its controller task keeps it.

        ``overrides`` are ``key.key=value`` texts for the study file.

        Raises:
            InputError: there is no such study, or it is not sound any more.
            HeldError: another controller drives it.
        """
        record = read_study(self._api, study)
        if record.namesakes:
            self._note(f"{study} is the newest study of this name, {record.study_id}; others: {record.namesakes}")
        name = f"study {record.study_id}"
        file = parse_study(record.study_yaml, name, overrides)
        rehearse(file)
        templates = {
            model: template_by_id(self._api, str(one.task)) for model, one in file.spec.template.by_model.items()
        }
        reporting = check_templates(self._api, file, templates)
        if overrides:
            self._refuse_differences(record, parse_study(record.study_yaml, name), file, templates)
        # Launched, or cloned by a user.
        file = with_earlier_points(file, ids_of(templates), self._api, self._note, but=record.study_id)
        return self._go_on(record, file, templates, reporting, is_same=not overrides)

    def _go_on(
        self, record: StudyRecord, file: StudyFile, templates: Templates, reporting: Collection[str], *, is_same: bool
    ) -> Opened:
        controller = ControllerTask(self._api, record.study_id, record.project_id)
        ordered = take_budgets(file, record.properties)
        stopping = stopping_since(record.properties)
        if record.status in _FINISHED:
            records = read_trials(self._api, record.study_id, file.space, file.goal, stopping=stopping)
            trials, fidelity = file.budget.trials, file.fidelity
            pauses = fidelity and fidelity.promotable(records.latest, records.earlier, file.goal, at_end=True)
            is_full = trials is not None and len(records.latest) >= trials and not pauses
            is_used_up = (is_same and not ordered) or is_full
            # A trial that a user wants retried is marked as stopped.
            if is_used_up and all(trial.state is not TrialState.STOPPED for trial in records.settled):
                finished = record.reason or "completed"
                return Opened(file, controller, templates, None, None, records, reporting, finished)
        warm, to_repeat = known_before(file, self._api, self._note), values_to_repeat(file, self._api, self._note)
        file, make_executor = self._prepare(file)
        lease = Lease(self._api, record.study_id, wait=self._stopped.wait)
        lease.acquire(take_over=self._take_over, on_note=self._note)
        if not all(templates[model].is_registered for model in file.space.used_models):
            # Perhaps the controller before has seen a first run meanwhile.
            templates = {model: template_by_id(self._api, one.task_id) for model, one in templates.items()}
            reporting = check_templates(self._api, file, templates)
        controller.go_on(file.text(ids_of(templates)))
        records = read_trials(self._api, record.study_id, file.space, file.goal, stopping=lease.stopping_since)
        executor = _made(make_executor, controller, templates, lease)
        return Opened(file, controller, templates, executor, lease, records, reporting, known=warm, to_repeat=to_repeat)

    def _has_no_value(self, record: StudyRecord, stored: StudyFile) -> bool:
        """Whether a study ended before any trial had a value: trying again with a mended script is normal."""
        if record.status not in ("failed", "stopped"):
            return False
        records = read_trials(self._api, record.study_id, stored.space, stored.goal)
        unseen = [records.unseen.get(trial.task_id) for trial in records.unsettled]
        has_ended = all(snapshot is not None and snapshot.status in ("failed", "stopped") for snapshot in unseen)
        return has_ended and all(trial.state.is_without_value for trial in records.settled)

    def _prepare(self, file: StudyFile) -> tuple[StudyFile, MakeExecutor]:
        if file.spec.storage is not None:
            with file.at("storage"):
                check_storage(file.spec.storage)
        prepared = self._prepare_place(self._api, file)
        if self._stopped.is_set():
            raise KeyboardInterrupt
        return prepared

    def _refuse_differences(
        self, record: StudyRecord, stored: StudyFile, file: StudyFile, templates: Templates
    ) -> None:
        if different := differences(stored, file, ids_of(templates)):
            raise InputError(
                f"study {file.spec.study!r} exists already ({record.study_id}), with another "
                f"{' and '.join(different)}, which is fixed; "
                "to start another study of this name: `run --new` (in Python: new=True); "
                f"to go on with that one as it is: `clearml-hpo resume {record.study_id}`"
            )


def differences(stored: StudyFile, file: StudyFile, templates: Mapping[str, str]) -> list[str]:
    """Keys of a study file that may not be changed once the study exists, and were.

    Args:
        stored: the file as the study's controller task keeps it.
        templates: ids of the template tasks that ``file`` stands for now, by model.
    """
    different = [key for key in _FIXED if _fixed(stored, key) != _fixed(file, key)]
    if {model: one.task for model, one in stored.spec.template.by_model.items()} != templates:
        different.append("template")
    return different


def _fixed(file: StudyFile, key: str) -> Any:
    """What may not change; the known-good points of a search space are no part of it."""
    given = file.data.get(key)
    return {name: each for name, each in given.items() if name != POINTS} if isinstance(given, dict) else given


def ids_of(templates: Templates) -> dict[str, str]:
    """The ids of the template tasks by model."""
    return {model: template.task_id for model, template in templates.items()}


def _to_repeat(file: StudyFile) -> list[str]:
    return [str(source.study) for source in file.spec.warm_start if source.if_repeated]


def take_budgets(file: StudyFile, properties: Mapping[str, str]) -> bool:
    """Gives a study the budgets that users have ordered meanwhile; whether there is something new for it to do."""
    orders = [order for order in pending(properties).values() if isinstance(order, (Extend, Try))]
    for order in orders:
        if isinstance(order, Extend):
            with suppress(ValueError):  # a user has edited it; the driver says so
                file.extend(order.budget)
    return bool(orders)


def check_templates(api: Api, file: StudyFile, templates: Templates) -> frozenset[str]:
    """Holds the file against the templates; the models of those that are known to report the objectives.

    Raises:
        InputError: a template lacks a parameter or an objective, or makes a point to try first none of the space.
    """
    known = {model: templates[model] for model in file.space.used_models if templates[model].is_registered}
    faults: list[Fault] = []
    for model, template in known.items():
        faults += faults_of_space(template, file.space, model)
    faults = faults or faults_of_first_points(file, known)
    reporting = set()
    for model, template in known.items():
        metrics = reported_metrics(api, template)
        missing = faults_of_objectives(metrics, file.goal, model) if metrics else []
        faults += [] if has_constants(file) else missing
        if metrics and not missing:
            reporting.add(model)
    if faults:
        raise InputError(file.explain(faults))
    return frozenset(reporting)


def has_constants(file: StudyFile) -> bool:
    """Whether all trials have values of the file's own, such as a data set: what they report may hang on these."""
    return any(isinstance(parameter, Constant) for parameter in file.space.parameters.values())


def _made(make: MakeExecutor, controller: ControllerTask, templates: Templates, lease: Lease) -> Executor:
    """The executor; if what it starts cannot be started, the study has failed and is nobody's."""
    try:
        return make(controller.task_id, templates)
    except InputError as error:
        controller.finish("failed", str(error))
        lease.release(str(error))
        raise
