"""From a study file to its result.

check.py         a study file held against its template; nothing runs
rehearsal.py     sampler and pruner tried on made-up values; what notifications need
registration.py  the template of a study, and its first run
advice.py        what to do about a first run that fails or shows nothing
opening.py       a new study, or one that another controller has left
first_points.py  the points that are tried first
warm_start.py    what is known before the first trial
repeats.py       earlier studies' values, which count once they are repeated
policy.py        how, where and how long trials run
executors.py     the executor that a study file asks for
first_runs.py    the first runs of new templates, one after the other
suggestions.py   what scripts suggest themselves: a space that grows
driver.py        from the first step of the loop to the last
orders.py        what users order by hand: heard, done, and taken off the controller task
console.py       what a run tells its user
reports.py       plots on the controller task, and the copy in an Optuna storage
closing.py       what the trials amount to, and the end of the controller task
run.py           all of these, in their order
launch.py        a controller that is a task of its own
"""
