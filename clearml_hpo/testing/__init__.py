"""For tests, ours and yours.

simulation.py   a simulated world of trial tasks, without server, process or waiting
agent.py        an agent that plays, on a real server
"""

from clearml_hpo.testing.agent import PlayedAgent
from clearml_hpo.testing.simulation import ManualClock, Simulation

__all__ = ["ManualClock", "PlayedAgent", "Simulation"]
