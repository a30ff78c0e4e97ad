"""Warm parents: processes that have imported what a template imports, and fork for each of its runs.

parent.py   the process: prepares, forks, reports how its children ended
child.py    what a forked process does until it is the script, and after it
imports.py  what may be imported before the script runs
sources.py  the text of the script and of its own modules
sdk.py      what ClearML's SDK needs before and after a fork
channel.py  messages between a parent and the worker

It imports only ``checkout`` from the rest of this package, because it runs inside of the tasks' processes.
"""
