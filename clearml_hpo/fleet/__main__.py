"""The supervisor's own process: ``python -m clearml_hpo.fleet HOME NAME [PARENT]``, started by ``up``."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from clearml_hpo.core.errors import ClearmlHpoError
from clearml_hpo.fleet.state import FleetFolder
from clearml_hpo.fleet.supervisor import supervise

LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"


def main(home: str, name: str, parent: str = "") -> int:
    """Runs the plan that ``up`` has left in the fleet's folder."""
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    folder = FleetFolder(Path(home), name)
    plan = folder.read_plan()
    if plan is None:
        logging.error("there is no plan in %s", folder.path)
        return 1
    try:
        supervise(folder, plan, parent=int(parent) if parent else None)
    except ClearmlHpoError as error:
        logging.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
