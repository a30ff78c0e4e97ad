"""This machine: its environment, its processes, its GPUs.

settings.py   the only reader of environment variables
environ.py    which of them a task's process gets; its share of the cores
background.py  a program of ours in the background: launched, waited for, ended
locks.py      locks of files
processes.py  processes known by pid and time of birth; whole sessions ended
watchdog.py   ends processes whose starter died
signals.py    signals that ask a process to end
one_write.py  answers of a web server that leave in one piece
gpus.py       GPUs as ``nvidia-smi`` reports them
"""
