"""A study driven in this process, for the command line and for Python.

study.py       opens a study and drives it until it ends; where its trials run
local.py       the embedded server, and agents of this machine, for as long as they are needed
session.py     the server of a Python session
interrupts.py  Ctrl-C and signals
"""
