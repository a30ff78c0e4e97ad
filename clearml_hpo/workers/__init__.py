"""Runs tasks on this machine: takes them from queues, gives each a slot, reports how it ended.

service.py       the thread that takes tasks, runs them and reports their ends
task_source.py   where tasks come from: queues, looked into always or on request
starting.py      takes a task from there into a slot
runner.py        the slots and the processes in them
protocol.py      reports of workers and tasks to the server
recovery.py      what is done about tasks that a dead worker has left
slots.py         what each task has for itself: a GPU, a share of one, or cores
programs.py      the program of a task, and where it runs
checkout.py      the code of a task from its repository
requirements.py  the packages that a task asks for and this Python lacks
task_process.py  a task as a process: started, read, stopped
forks.py         a task as a fork of a warm parent
warm/            the warm parent itself, inside of the task's processes
last_line.py     why a program failed, from its console or exit code
statistics.py    load, memory, disk and network of this machine
timed_call.py    a call that may hang, made in a helper thread
wakeup.py        wakes the thread
"""
