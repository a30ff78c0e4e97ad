"""Campaigns: many studies on shared resources, each an ordinary study.

resources.py  which study may put its next trial where
order.py      when studies are opened
serving.py    a queue for each resource, and this machine's slots that serve some of them
session.py    an open study: a thread that drives it
opening.py    a campaign found on the server, or made
run.py        from start, or from where it was left, to its end
progress.py   where a campaign stands, as a value
view.py       what a user sees of it while it runs
report.py     what it has found, from the server alone
usage.py      how its resources were used
stopping.py   ends one from elsewhere
folder.py     all that stays of it: page, texts, submissions, logs
"""
