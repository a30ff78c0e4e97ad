"""The search space: which hyperparameters are varied, and over which values.

texts.py         names, and values as the text that ClearML keeps
ranges.py        what a parameter can take
conditions.py    when a parameter is active
expressions.py   what must hold between parameters
space.py         all of it together

Names are ClearML's: ``section/name``, such as ``General/learning_rate``. A space is a frozen value; the sampler draws
from it, ClearML's experiment table stores what was drawn as text, and :meth:`SearchSpace.parse` reads it back.

A parameter may have a condition: it is *active* where other parameters have certain values. A trial's parameters are
the active ones alone; the others keep the template's own values.

Where a study has several templates, the parameter ``General/model`` says which one a trial is a clone of. What belongs
to one of them alone is called ``<model>/<name>``: ``xgboost/max_depth`` is ``General/max_depth`` in its tasks.
"""

from clearml_hpo.search_space.conditions import Condition, faults_of_conditions
from clearml_hpo.search_space.expressions import Expression, parse_expression
from clearml_hpo.search_space.ranges import Categorical, Combination, Constant, Distribution, Float, Int, Parameter
from clearml_hpo.search_space.space import SearchSpace
from clearml_hpo.search_space.texts import (
    DEFAULT_SECTION,
    MODEL,
    Params,
    Value,
    as_text,
    full_name,
    name_in_model,
    resolve_name,
    text_of,
)

__all__ = [
    "DEFAULT_SECTION",
    "MODEL",
    "Categorical",
    "Combination",
    "Condition",
    "Constant",
    "Distribution",
    "Expression",
    "Float",
    "Int",
    "Parameter",
    "Params",
    "SearchSpace",
    "Value",
    "as_text",
    "faults_of_conditions",
    "full_name",
    "name_in_model",
    "parse_expression",
    "resolve_name",
    "text_of",
]
