"""A campaign that is ended from elsewhere."""

from __future__ import annotations

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.campaigns import CampaignRecord, CampaignTask
from clearml_hpo.backend.codes import STOPPED_BY_USER
from clearml_hpo.backend.lease import Lease
from clearml_hpo.backend.study_records import find_studies
from clearml_hpo.backend.trial_tasks import UNDER_WAY
from clearml_hpo.studies.study import Study


def stop_campaign(api: Api, record: CampaignRecord) -> bool:
    """Ends a campaign, whose trials that wait do not start, and whose running ones are aborted.

    The process that drives it is asked to end it, which takes it some 15 s; where there is none the campaign and its
    studies are ended at once. ``clearml-hpo campaign resume`` goes on with it.

    Returns:
        Whether a process was asked.
    """
    task = CampaignTask(api, record.campaign_id, record.project_id)
    lease = Lease(api, record.campaign_id, what="campaign")
    if lease.is_held():
        task.set_properties(stop="abort")
        return True
    for study in find_studies(api, campaign=record.campaign_id):
        if study.status in UNDER_WAY:
            Study(api, study).stop()
    if not record.is_over:
        lease.clear(STOPPED_BY_USER)
        task.finish("stopped", STOPPED_BY_USER)
    return False
