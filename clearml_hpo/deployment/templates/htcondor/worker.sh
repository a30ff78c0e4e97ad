#!/bin/bash
# A warm worker for a ClearML queue, started by worker.sub. No HTCondor has run this file yet: the project's tests start
# it by hand. Server and keys come from ~/clearml.conf.
{{ own -}}
# {{ end_s }} s before the job's time is over the worker is told to take no more trials. Those that have not ended {{ drain_s }} s
# later are lost, and run again in another job.
exec timeout --foreground --preserve-status --signal=TERM {{ until_end_s }} \
    {{ command }}
