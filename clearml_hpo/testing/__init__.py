"""For tests, ours and yours: a simulated world of trial tasks, without server, process or waiting."""

from clearml_hpo.testing.simulation import ManualClock, Simulation

__all__ = ["ManualClock", "Simulation"]
