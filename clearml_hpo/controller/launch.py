"""A study whose controller is a task of its own: an agent drives it, such as one in services mode."""

from __future__ import annotations

from dataclasses import dataclass

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.controller_task import ControllerTask
from clearml_hpo.backend.names import ensure_project, find_project, find_queues, workers_by_queue
from clearml_hpo.backend.study_records import find_studies
from clearml_hpo.controller.opening import check_templates, ids_of
from clearml_hpo.controller.policy import agent_queues
from clearml_hpo.controller.registration import find_or_create_templates
from clearml_hpo.core.errors import Fault, InputError
from clearml_hpo.study_file import StudyFile


@dataclass(frozen=True)
class Launched:
    """A study that waits for an agent.

    Attributes:
        workers: how many serve the controller's queue.
        is_shared: whether trials go to that queue too, so that the controller takes a worker from them.
    """

    study_id: str
    url: str
    queue: str
    workers: int
    is_shared: bool

    @property
    def advice(self) -> str:
        """What a user should know of the queue; empty if all is well."""
        if not self.workers:
            return f"no agent serves it yet: clearml-hpo agents up --queue {self.queue} --cpu 1"
        if self.is_shared and self.workers == 1:
            return (
                f"its trials go to queue {self.queue} too, which one agent serves: that one will be busy with driving"
            )
        return ""


def launch_study(api: Api, file: StudyFile, queue: str, *, new: bool = False) -> Launched:
    """Makes the study's controller as a task, and enqueues it; the template of a new script is made first.

    Args:
        queue: name of the queue whose agent is to drive the study.
        new: also if there is a study of this name in the project.

    Raises:
        InputError: the server lacks a queue, the template, a parameter or the metric; or there is such a study already.
    """
    queue_id = find_queues(api, [queue], key="--queue")[queue]
    task = draft_study(api, file, new=new)
    api.call("tasks.enqueue", task=task.task_id, queue=queue_id)
    workers = len(workers_by_queue(api).get(queue_id, ()))
    return Launched(task.task_id, task.url, queue, workers, queue in agent_queues(file))


def draft_study(api: Api, file: StudyFile, *, new: bool = False) -> ControllerTask:
    """Makes the study's controller as a draft, which ``clearml-hpo resume`` drives; see :func:`launch_study`."""
    spec = file.spec
    find_queues(api, agent_queues(file))
    project_id = ensure_project(api, spec.project)
    if not new:
        refuse_namesake(api, file)
    templates = find_or_create_templates(api, spec.template, project_id, file.space)
    check_templates(api, file, templates)
    return ControllerTask.draft(api, name=spec.study, project_id=project_id, study_yaml=file.text(ids_of(templates)))


def refuse_namesake(api: Api, file: StudyFile) -> None:
    """Raises InputError if there is a study of this name in the project, which exists."""
    spec = file.spec
    if find_project(api, spec.project) is None:
        return
    if found := find_studies(api, name=spec.study, project=spec.project, limit=1):
        said = (
            f"{spec.study!r} exists already ({found[0].study_id}, {found[0].status}); to go on with it: "
            f"clearml-hpo resume {found[0].study_id}; to start another one of this name: --new"
        )
        raise InputError(file.explain([Fault(("study",), said)]))
