"""Files with which agents are started at boot: systemd units, or a compose file, for the machine that is found.

``inspect`` looks at the machine, ``plan`` says which daemons it is to have, ``systemd`` and ``compose`` render them as
text, ``files`` writes what differs.
"""

from __future__ import annotations

from clearml_hpo.fleet.install import compose, files, systemd
from clearml_hpo.fleet.install.machine import Machine, inspect, is_root
from clearml_hpo.fleet.install.plan import Plan, choose_gpus

__all__ = ["Machine", "Plan", "choose_gpus", "compose", "files", "inspect", "is_root", "systemd"]
