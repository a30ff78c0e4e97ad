"""A new study from the text of another one: checked as `clearml-hpo check` does, launched as `launch` does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.names import is_own_queue, workers_by_queue
from clearml_hpo.controller.check import check_study
from clearml_hpo.controller.launch import draft_study, launch_study, refuse_namesake
from clearml_hpo.controller.policy import agent_queues
from clearml_hpo.controller.rehearsal import rehearse
from clearml_hpo.core.errors import InputError
from clearml_hpo.core.units import counted
from clearml_hpo.dashboard.orders import Form
from clearml_hpo.studies.study import Study
from clearml_hpo.study_file import StudyFile, check_executor, parse_study
from clearml_hpo.study_file.source_lines import SourceLine, dotted, parse_yaml

_NAME = "study.yaml"  # of the text, in messages
_PLACE = re.compile(rf"{re.escape(_NAME)}(?::(\d+))?: ")


def text_of(study: Study) -> str:
    """The study file, as the controller task keeps it. Raises InputError: it keeps none."""
    return study.record.study_yaml if study.file else ""


def queues(api: Api) -> Mapping[str, int]:
    """How many workers serve each queue that may have a controller: not those of one study alone."""
    serving = workers_by_queue(api, key="name")
    return {name: len(serving[name]) for name in sorted(serving) if not is_own_queue(name)}


def check(api: Api, form: Form) -> Mapping[str, Any]:
    """Checks the text of a form; nothing starts.

    Returns:
        ``faults`` (each with ``line`` and ``text``), or ``remarks`` and ``question``, what a user is to confirm.
    """
    try:
        file, remarks = _checked(api, form)
    except InputError as error:
        return {"faults": [*_faults(str(error), form.get("text", ""))]}
    queue, trials = form.get("queue", ""), agent_queues(file)
    driven = f"driven by an agent of queue {queue}" if queue else "as a draft, which you drive"
    places = f" Its trials go to {', '.join(trials)}." if trials else ""
    return {
        "remarks": [f"sound: {counted(len(file.space.distributions), 'parameter')}, {file.goal}", *remarks],
        "question": f"Launch study {file.spec.study} in project {file.spec.project}, {driven}?{places}",
    }


def launch(api: Api, form: Form) -> Mapping[str, Any]:
    """Makes the study's controller, and enqueues it where the form names a queue.

    Returns:
        ``faults`` as :func:`check`, or ``told``, lines for the user, and ``to``, the page of the study.
    """
    queue, is_new = form.get("queue", ""), "new" in form
    try:
        file, _ = _checked(api, form)
        if queue:
            launched = launch_study(api, file, queue, new=is_new)
            study_id = launched.study_id
            told = [f"Study {file.spec.study} waits in queue {queue}.", launched.advice]
        else:
            study_id = draft_study(api, file, new=is_new).task_id
            told = [f"Study {file.spec.study} is a draft. Drive it: clearml-hpo resume {study_id}"]
    except InputError as error:
        return {"faults": [*_faults(str(error), form.get("text", ""))]}
    return {"told": [*filter(None, told)], "to": f"/studies/{study_id}"}


def _checked(api: Api, form: Form) -> tuple[StudyFile, Sequence[str]]:
    """The study of a form, and remarks on it.

    Raises:
        InputError: with one line per fault.
    """
    file = parse_study(form.get("text", ""), _NAME, is_new=True)
    check_executor(file)
    rehearse(file, is_driven_here=False)
    findings = check_study(file, api)
    if findings.faults:
        raise InputError(file.explain(findings.faults))
    if "new" not in form:
        refuse_namesake(api, file)
    return file, findings.remarks


def _faults(message: str, text: str) -> Iterator[Mapping[str, Any]]:
    """Each line of a message, and the line of the text that it is about: its own, or that of the key it begins with."""
    lines: dict[str, int | None] = {}
    with suppress(InputError):
        lines = {dotted(key): at.line for key, at in parse_yaml(text, lambda line: SourceLine(_NAME, line))[1].items()}
    for each in message.splitlines():
        if place := _PLACE.match(each):
            yield {"line": int(place[1]) if place[1] else None, "text": each[place.end() :]}
        else:
            yield {"line": lines.get(each.partition(":")[0]), "text": each}
