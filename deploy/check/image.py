"""Dockerfiles, by hadolint. None is built here: that takes a Docker daemon and the network."""

from __future__ import annotations

from pathlib import Path

from deploy.check import Report, tools

# Versions of packages are the user's own: of Debian's, and of those that trainings import.
_IGNORED = ("DL3008", "DL3013")


def check(folder: Path) -> Report:
    """Checks instructions and the shell's words in them."""
    files = sorted(folder.rglob("Dockerfile"))
    options = [word for rule in _IGNORED for word in ("--ignore", rule)]
    done = tools.run([tools.hadolint(), "--no-color", "--failure-threshold", "warning", *options, *files])
    faults = [line.replace(f"{folder}/", "") for line in done.stdout.splitlines() + done.stderr.splitlines() if line]
    return Report(f"{len(files)} Dockerfile by hadolint; not built", faults if done.returncode else [])
