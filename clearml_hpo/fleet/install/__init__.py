"""Files that start agents at boot: systemd units or a compose file, for this machine.

machine.py  inspects the machine
plan.py     the daemons of a machine and their commands
systemd.py  renders units
compose.py  renders a compose file and its image
render.py   the templates of both
files.py    writes files that differ, and none that a user has edited
"""

from __future__ import annotations

from clearml_hpo.fleet.install import compose, files, systemd
from clearml_hpo.fleet.install.machine import Machine, inspect, is_root
from clearml_hpo.fleet.install.plan import Plan, choose_gpus

__all__ = ["Machine", "Plan", "choose_gpus", "compose", "files", "inspect", "is_root", "systemd"]
