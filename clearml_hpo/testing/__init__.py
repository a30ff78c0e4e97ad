"""For tests, ours and yours.

simulation.py         simulated trial tasks and workers, without server, process or waiting
agent.py              a fake agent on a real server
executor_contract.py  tests that every executor must pass (needs pytest)
"""

from clearml_hpo.testing.agent import PlayedAgent
from clearml_hpo.testing.simulation import ManualClock, Simulation

__all__ = ["ManualClock", "PlayedAgent", "Simulation"]
