"""For tests, ours and yours.

world.py              simulated tasks, queues and workers, without server, process or waiting
simulation.py         that world as the scheduler sees ClearML
agent.py              a fake agent on a real server
executor_contract.py  tests that every executor must pass (needs pytest)
"""

from clearml_hpo.testing.agent import PlayedAgent
from clearml_hpo.testing.simulation import Simulation
from clearml_hpo.testing.world import ManualClock

__all__ = ["ManualClock", "PlayedAgent", "Simulation"]
