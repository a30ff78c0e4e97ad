"""How a campaign begins: as a new one, or where it was left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.campaigns import CampaignRecord, CampaignTask, find_campaign, read_campaign
from clearml_hpo.backend.lease import Lease
from clearml_hpo.backend.names import ensure_project
from clearml_hpo.backend.study_records import StudyRecord, find_studies
from clearml_hpo.backend.template import Templates
from clearml_hpo.controller.opening import check_templates, differences, ids_of
from clearml_hpo.controller.registration import find_or_create_templates
from clearml_hpo.controller.rehearsal import rehearse_all
from clearml_hpo.core.errors import InputError
from clearml_hpo.study_file import CampaignFile, parse_campaign, parse_study

_FINISHED = ("completed", "published", "closed")


@dataclass(frozen=True)
class OpenedCampaign:
    """A campaign that is about to be driven.

    Attributes:
        record: of a campaign that goes on; None for a new one.
        studies: those that it has already, by name.
        take_over: whether its studies are taken from a controller that drives them.
    """

    file: CampaignFile
    task: CampaignTask
    lease: Lease
    record: CampaignRecord | None
    studies: Mapping[str, StudyRecord]
    take_over: bool = False

    def finished(self, name: str) -> StudyRecord | None:
        """The record of a study that is finished, if it is, and its budget is still the same."""
        record = self.studies.get(name)
        if record is None or record.status not in _FINISHED:
            return None
        stored = parse_study(record.study_yaml, f"study {record.study_id}")
        budget = next(member.file.data["budget"] for member in self.file.members if member.name == name)
        return record if stored.data["budget"] == budget else None


class CampaignOpening:
    """Finds a campaign on the server, or makes it."""

    def __init__(
        self,
        api: Api,
        on_note: Callable[[str], None],
        wait: Callable[[float], object],
        *,
        take_over: bool = False,
    ) -> None:
        """Nothing is called yet; ``wait`` returns true to give up waiting."""
        self._api = api
        self._note = on_note
        self._wait = wait
        self._take_over = take_over

    def from_file(self, file: CampaignFile, *, new: bool = False) -> OpenedCampaign:
        """The campaign of this name in its project; one that exists goes on, unless ``new``.

        Raises:
            InputError: a template lacks a parameter or a metric, or is not there; or a study exists already that the
                file changes in what is fixed.
            HeldError: another process drives the campaign.
        """
        record = None if new else find_campaign(self._api, file.spec.campaign, file.spec.project)
        return self._open(file, record)

    def by_id(self, campaign: str, overrides: Sequence[str] = ()) -> OpenedCampaign:
        """The campaign of this id or name, as its task keeps it.

        Raises:
            InputError: there is no such campaign, or it is not sound any more.
            HeldError: another process drives it.
        """
        record = read_campaign(self._api, campaign)
        file = parse_campaign(record.text, f"campaign {record.campaign_id}", overrides)
        rehearse_all(member.file for member in file.members)
        return self._open(file, record)

    def _open(self, file: CampaignFile, record: CampaignRecord | None) -> OpenedCampaign:
        project_id = ensure_project(self._api, file.spec.project)
        templates = self._templates(file, project_id)
        if record is not None:
            _refuse_differences(file, record, self._studies(record), templates)
        text = file.text(templates)
        lease = Lease(self._api, record.campaign_id if record else "", what="campaign", wait=self._wait)
        if record is None:
            task = CampaignTask.create(
                self._api,
                name=file.spec.campaign,
                project_id=project_id,
                study_yaml=text,
                properties=lease.properties(),
            )
            return OpenedCampaign(file, task, lease.on(task.task_id), None, {})
        lease.acquire(take_over=self._take_over, on_note=self._note)
        task = CampaignTask(self._api, record.campaign_id, record.project_id)
        task.go_on(text)
        return OpenedCampaign(file, task, lease, record, self._studies(record), self._take_over)

    def _studies(self, record: CampaignRecord) -> dict[str, StudyRecord]:
        """By name."""
        return {study.name: study for study in reversed(find_studies(self._api, campaign=record.campaign_id))}

    def _templates(self, file: CampaignFile, project_id: str) -> dict[str, dict[str, str]]:
        """The ids of the template tasks of each study, by its name; those of new scripts are made."""
        found: dict[str, Templates] = {}
        tasks, faults = {}, []
        for member in file.members:
            spec = member.file.spec.template
            key = spec.model_dump_json()
            if key not in found:
                found[key] = find_or_create_templates(self._api, spec, project_id, member.file.space)
            try:
                check_templates(self._api, member.file, found[key])
            except InputError as error:
                faults += str(error).splitlines()
            tasks[member.name] = ids_of(found[key])
        if faults:
            raise InputError("\n".join(dict.fromkeys(faults)))
        return tasks


def _refuse_differences(
    file: CampaignFile,
    record: CampaignRecord,
    studies: Mapping[str, StudyRecord],
    templates: Mapping[str, Mapping[str, str]],
) -> None:
    faults = []
    for member in file.members:
        study = studies.get(member.name)
        if study is None:
            continue
        stored = parse_study(study.study_yaml, f"study {study.study_id}")
        if different := differences(stored, member.file, templates[member.name]):
            faults.append(f"study {member.name!r} exists already, with another {' and '.join(different)}")
    if faults:
        raise InputError(
            "\n".join(faults) + "\nthese are fixed; to start another campaign of this name: `campaign run --new`; "
            f"to go on with this one as it is: `clearml-hpo campaign resume {record.campaign_id}`"
        )
