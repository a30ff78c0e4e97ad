"""The loop that drives the trials of a study.

loop.py              steps, one after the other
scheduler.py         one step, and where the study stands
context.py           what the parts of the scheduler share
takeover.py          trials that there are before the first step
observing.py         what trials report, and where their tasks stand
limits.py            running trials that are pruned, at a limit, hanging or lost
endings.py           how a trial has ended, from what the server says of its task
outcomes.py          what follows from an end: mark, sampler, cost, retry
stopping.py          ends trials that live
user_reruns.py       trials that a user runs again
unasked.py           what outside workers could have, and nobody asks for
imports.py           trials that ended elsewhere
orders.py            what users order by hand: points, ends, a larger budget
requeueing.py        trials that wait in vain, and move to another queue
launching.py         from a point to a queue
launch_queue.py      attempts that have no place in a queue yet
points.py            which point of the search space is tried next
ask_ahead.py         the same, computed ahead if the sampler is slow
placement.py         which queue a trial goes to, and how much room there is
queues.py            which workers serve the queues, and which trials wait in vain
outcome_reporter.py  what the sampler and the server are told of a trial
roster.py            the trials: live, ended, earlier attempts
heartbeats.py        for how long nothing was heard of a trial
reasons.py           why trials have failed, from their consoles
ledger.py            what the study has used so far
prospects.py         what a further trial is expected to gain
policy.py            how much, how long, how many at once, where
retry_rules.py       which trials are run again, how often, and where
interfaces.py        what is needed of trial tasks, and who hears of what
"""

from clearml_hpo.scheduler.imports import Import
from clearml_hpo.scheduler.interfaces import Hooks, Tasks
from clearml_hpo.scheduler.loop import run_loop
from clearml_hpo.scheduler.placement import Placement, Places, Room, Rule
from clearml_hpo.scheduler.policy import FindRoom, Policy
from clearml_hpo.scheduler.retry_rules import Failures, Retry
from clearml_hpo.scheduler.scheduler import Scheduler

__all__ = [
    "Failures",
    "FindRoom",
    "Hooks",
    "Import",
    "Placement",
    "Places",
    "Policy",
    "Retry",
    "Room",
    "Rule",
    "Scheduler",
    "Tasks",
    "run_loop",
]
