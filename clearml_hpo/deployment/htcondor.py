"""Jobs of HTCondor: so many workers. No HTCondor has run them."""

from __future__ import annotations

from pathlib import Path

from clearml_hpo.deployment import files
from clearml_hpo.deployment.batch import Jobs


def render_files(jobs: Jobs) -> dict[str, str]:
    """Texts by file name."""
    values = {"command": jobs.worker, **jobs.values()}
    return {name: files.render(f"htcondor/{name}", **values) for name in ("worker.sub", "worker.sh")}


def next_commands(jobs: Jobs, folder: Path) -> dict[str, str]:
    """What a user types then, and why."""
    return jobs.next_commands(folder, "condor_submit worker.sub", "the workers; no HTCondor has run it yet", "condor_q")
