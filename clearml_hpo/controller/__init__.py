"""Composition: a study file or a script's arguments → parts → loop → report. ClearML's optimizer classes.

parameters.py     ClearML's parameter classes as a search space
jobs.py           a trial as a ClearML job
strategy.py       OptunaStrategy, a ClearML SearchStrategy
optimizer.py      StudyOptimizer, a ClearML HyperParameterOptimizer
handle.py         Study, a recorded study to look at and to steer; rows.py and steering.py are its parts
launch.py         a study whose controller is a task that an agent runs
registration.py   the template of a study, and its first run
run.py            a study file, from start to result
"""

from clearml_hpo.controller.handle import Study
from clearml_hpo.controller.optimizer import StudyOptimizer
from clearml_hpo.controller.strategy import OptunaStrategy

__all__ = ["OptunaStrategy", "Study", "StudyOptimizer"]
