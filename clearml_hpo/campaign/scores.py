"""The best submissions of a campaign: what its trials have predicted for test data, as files."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from clearml import StorageManager

from clearml_hpo.campaign.report import Best, CampaignReport
from clearml_hpo.errors import ServerError
from clearml_hpo.tasks import Api
from clearml_hpo.tasks.campaigns import artifact_of

_ARTIFACT = "submission"
_LOOKED_AT = 5  # trials of a study; the best one may have been cut short before it predicted


def fetch_submissions(api: Api, report: CampaignReport, folder: Path) -> list[Path]:
    """Writes the best submission of each study that has some, named by data set, model, metric and value.

    Raises:
        ServerError: one cannot be downloaded.
    """
    return [path for best in report.best if (path := _fetch(api, best, folder)) is not None]


def _fetch(api: Api, best: Best, folder: Path) -> Path | None:
    for task_id in best.task_ids[:_LOOKED_AT]:
        uri = artifact_of(api, task_id, _ARTIFACT)
        if uri is not None:
            break
    else:
        return None
    metric = re.sub(r"[^\w.-]+", "_", best.metric)
    path = folder / f"{best.dataset}-{best.model}-{metric}-{best.value:.6g}{Path(uri).suffix}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        found = StorageManager.get_local_copy(uri, extract_archive=False, force_download=True)
    except Exception as error:  # each storage has errors of its own
        raise ServerError(f"cannot download {uri}: {error}") from None
    if not found:
        raise ServerError(f"cannot download {uri}")
    shutil.copyfile(found, path)
    return path
