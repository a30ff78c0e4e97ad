"""Checks the files of this folder with the programs and schemas that read them: ``make check-deploy``.

__main__.py   runs all checks and prints what each has checked
tools.py      fetches the programs and schemas, once, into a cache outside of the repository
rendered.py   the files are what `clearml-hpo deploy` writes
manifests.py  objects of Kubernetes, by the schemas of their kinds
kustomize.py  bases and overlays, built by kubectl
commands.py   command lines in these files, by the programs' own parsers
helm.py       the chart: helm's own checks, and the same objects as those of kustomize
image.py      Dockerfiles, by hadolint
batch.py      job scripts: the shell's check, known directives, and the options of their commands
services.py   the agent for controllers: systemd's check, the compose specification, the agent's own parser

A check takes a copy of ``deploy/`` and returns a :class:`Report`. One that lacks its program raises
:class:`tools.Unavailable`.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Report:
    """What a check has looked at, in words, and what is wrong: a line for each fault."""

    checked: str
    faults: list[str] = field(default_factory=list)
