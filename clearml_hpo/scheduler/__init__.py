"""The loop that drives the trials of a study.

policy.py      how much, how long, how many at once, where, and what to do about failures
placement.py   which queue a trial goes to, and how much room there is
queues.py      who serves the queues, and which trials wait in them in vain
line.py        attempts that have no place in a queue yet
points.py      which point of the search space is tried next
ahead.py       the same, computed ahead if the sampler thinks for long
launching.py   from a point to a queue
observing.py   what trials report, and where their tasks stand
telling.py     what the sampler and the server are told of a trial
roster.py      the trials: live, ended, earlier attempts
watch.py       what is remembered of each attempt, and for how long nothing was heard of it
endings.py     how a trial has ended, from what the server says of its task
reasons.py     why trials have failed, from their consoles
ledger.py      what the study has used so far
interfaces.py  what is needed of trial tasks, and who hears of what
loop.py        one step after the other
"""

from clearml_hpo.scheduler.interfaces import Hooks, Tasks
from clearml_hpo.scheduler.loop import Scheduler
from clearml_hpo.scheduler.placement import Placement, Places, Room, Rule
from clearml_hpo.scheduler.policy import Failures, FindRoom, Policy, Retry

__all__ = [
    "Failures",
    "FindRoom",
    "Hooks",
    "Placement",
    "Places",
    "Policy",
    "Retry",
    "Room",
    "Rule",
    "Scheduler",
    "Tasks",
]
