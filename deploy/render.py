"""Writes the files of this folder that ``clearml-hpo deploy`` writes: ``python -m deploy.render``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
COMMANDS = {
    "kubernetes": [
        *("--queue", "gpu", "--queue-id", "0123456789abcdef0123456789abcdef"),
        *("--api-host", "https://api.clearml.example.com"),
    ],
    "slurm": ["--queue", "gpu"],
    "pbs": ["--queue", "gpu"],
    "htcondor": ["--queue", "gpu"],
}
"""Options by kind, which is also the folder's name."""


def render(folder: Path) -> None:
    """Writes all of them into a folder for each kind."""
    for kind, options in COMMANDS.items():
        command = ["deploy", kind, *options, "--output", str(folder / kind), "--force"]
        subprocess.run([sys.executable, "-m", "clearml_hpo", *command], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    render(FOLDER)
