"""Jobs of Slurm: an array of workers, and a Dask cluster."""

from __future__ import annotations

from pathlib import Path

from clearml_hpo.deployment import files
from clearml_hpo.deployment.batch import Jobs


def render_files(jobs: Jobs) -> dict[str, str]:
    """Texts by file name."""
    values = jobs.values("#SBATCH")
    array = {
        "worker": ("Warm workers for a ClearML queue, as an array of jobs: sbatch worker.sh", jobs.worker),
        "dask-worker": (
            "Workers of a Dask cluster, as an array of jobs: sbatch dask-worker.sh, in the folder of dask-scheduler.sh",
            jobs.dask_worker,
        ),
    }
    texts = {
        f"{kind}.sh": files.render("slurm/array.sh", name=f"clearml-hpo-{kind}", about=about, command=command, **values)
        for kind, (about, command) in array.items()
    }
    return {**texts, "dask-scheduler.sh": files.render("slurm/dask-scheduler.sh", **values)}


def next_commands(jobs: Jobs, folder: Path) -> dict[str, str]:
    """What a user types then, and why."""
    dask = "sbatch --dependency=after:$(sbatch --parsable dask-scheduler.sh) dask-worker.sh"
    return {
        **jobs.next_commands(folder, "sbatch worker.sh", "the workers", "squeue --me"),
        dask: "instead of worker.sh, for studies with `executor: dask`",
    }
