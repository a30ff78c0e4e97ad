"""Warm parents: processes that have imported what a template imports, and fork for each of its runs.

parent.py    the process: prepares, forks, says how its children ended
child.py     what a forked process does until it is the script, and after it
imports.py   what may be imported before the script runs
sdk.py       what ClearML's SDK needs before and after a fork
channel.py   messages between a parent and whoever has started it

Nothing in here imports anything of this package but ``checkout``: it runs inside of the tasks' processes.
"""
