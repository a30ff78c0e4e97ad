"""Recorded studies: read and steered from anywhere, without their controller.

study.py     ``Study``
defined.py   a study that is defined in Python: ``Study.create``
rows.py      trials as rows of a table
export.py    a study as JSON, CSV, YAML or HTML
spending.py  what a study has used of its budgets
steering.py  what users do to a study from outside of its controller: stop, retry
orders.py    what they order by hand: points to try, trials to end, a larger budget
watching.py  the screen of a study that runs elsewhere
folder.py    what stays of a study, as files
"""
