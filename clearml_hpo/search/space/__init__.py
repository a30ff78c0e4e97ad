"""The search space: which hyperparameters are varied, and over which values.

ranges.py       what a parameter can take
conditions.py   when a parameter is active
expressions.py  what must hold between parameters
steps.py        what is decided, in which order, on the way to a point
space.py        all of it together
open.py         a space that grows while its study runs

Names are ClearML's: ``section/name``, such as ``General/learning_rate``. A space is a frozen value; the sampler draws
from it, ClearML's experiment table stores what was drawn as text, and :meth:`SearchSpace.parse` reads it back.

A parameter may have a condition: it is *active* where other parameters have certain values. A trial's parameters are
the active ones alone; the others keep the template's own values.

Where a study has several templates, the parameter ``General/model`` says which one a trial is a clone of. What belongs
to one of them alone is called ``<model>/<name>``: ``xgboost/max_depth`` is ``General/max_depth`` in its tasks.
"""

from clearml_hpo.search.space.conditions import Condition, faults_of_conditions
from clearml_hpo.search.space.expressions import Expression, parse_expression
from clearml_hpo.search.space.open import OpenSpace
from clearml_hpo.search.space.ranges import Categorical, Combination, Constant, Distribution, Float, Int, Parameter
from clearml_hpo.search.space.space import SearchSpace, at_random

__all__ = [
    "Categorical",
    "Combination",
    "Condition",
    "Constant",
    "Distribution",
    "Expression",
    "Float",
    "Int",
    "OpenSpace",
    "Parameter",
    "SearchSpace",
    "at_random",
    "faults_of_conditions",
    "parse_expression",
]
