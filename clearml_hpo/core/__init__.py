"""What all parts share: values of a study that know nothing of servers, processes or Optuna.

values.py          names and values of hyperparameters, and their texts
goal.py            objectives and constraints: which scalars count, and in which bounds
trial.py           a trial, its states, the best of many
savings.py         how much of the training pruning has saved, and what it may have cost
rungs.py           how far trials have come, where they pause at lengths of training
budget.py          when a study has had enough, and when a single trial has
ranking.py         trials in the order of their merit
not_finite.py      what NaN and infinity count as
units.py           durations and sizes as users write them
choices.py         named options, such as samplers, with their own parameters
errors.py          every error, as one small tree
near_names.py      the parameter or the scalar that a user means
bell.py            wakes the thread that drives a study
notes.py           what a command tells its user, with a level and ids
best_effort.py     work that a study does not depend on: reports, screens
assets.py          style and scripts of pages, the plotting library
templating.py      Jinja environments, for HTML and for text
syntax.py          syntax trees of Python, for several threads at once
csv_cells.py       cells of CSV files that are safe in a spreadsheet
yaml_documents.py  YAML of any origin, read within bounds
"""
