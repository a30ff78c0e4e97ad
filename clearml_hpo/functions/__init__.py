"""Python functions as training scripts: ``clearml_hpo.optimize``.

optimize.py      a study of a function
packing.py       a function as a script, and a file beside it
trial_runner.py  the script: one trial of a function; standalone
"""
