"""ClearML's own optimizer classes, for scripts that were written for them.

optimizer.py   ``StudyOptimizer``, a ``HyperParameterOptimizer``
strategy.py    ``OptunaStrategy``, a ``SearchStrategy``
parameters.py  ClearML's parameter classes as a search space
objectives.py  ClearML's objectives as goals
jobs.py        a trial as a ClearML job
"""
