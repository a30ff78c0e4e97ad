"""Jobs of OpenPBS and PBS Professional: an array of workers. No PBS has run them."""

from __future__ import annotations

from pathlib import Path

from clearml_hpo.deployment import files
from clearml_hpo.deployment.batch import Jobs


def render_files(jobs: Jobs) -> dict[str, str]:
    """Texts by file name."""
    return {"worker.sh": files.render("pbs/worker.sh", command=jobs.worker, **jobs.values("#PBS"))}


def next_commands(jobs: Jobs, folder: Path) -> dict[str, str]:
    """What a user types then, and why."""
    return jobs.next_commands(folder, "qsub worker.sh", "the workers; no PBS has run it yet", "qstat -t")
