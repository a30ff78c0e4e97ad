#!/bin/bash
# A warm worker for a ClearML queue, started by worker.sub. No HTCondor has run this file yet: the project's tests start
# it by hand. Server and keys come from ~/clearml.conf.

# 120 s before the job's time is over the worker is told to take no more trials. Those that have not ended 90 s
# later are lost, and run again in another job.
exec timeout --foreground --preserve-status --signal=TERM 14280 \
    clearml-hpo worker --queue gpu --threads 4 --idle-timeout 600s --drain-timeout 90s
