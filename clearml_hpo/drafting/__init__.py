"""Drafts a study file from a script, a task, or another tool's file.

location.py     where a script lies, and how a study file names it
found.py        what was found: hyperparameters and metrics
source.py       a script and the modules beside it, read without running them
signatures.py   parameters of functions and fields of classes
arguments.py    options of argparse and jsonargparse
commands.py     options of click, and parameters of functions that Typer, Fire and jsonargparse call
connected.py    what `task.connect` and `task.connect_configuration` are given
hydra.py        the configuration that Hydra composes
metrics.py      scalars that a script reports, and which of them is the objective
script.py       all that is found in a script
first_steps.py  runs the first steps of a script offline, where reading is not enough
offline_run.py  the program that does so
recorded.py     what a task on the server, or an offline one, has
ranges.py       the range that is proposed for a hyperparameter
draft.py        the text of a study file
conversion.py   what another tool's file says, as a draft
sweep.py        sweeps of W&B
ray_tune.py     search spaces of Ray Tune
starters.py     the templates of this package, to copy
"""
