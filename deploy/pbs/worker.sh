#!/bin/bash
# Warm workers for a ClearML queue, as an array of jobs of OpenPBS or PBS Professional: qsub worker.sh
# No PBS has run this file yet: the project's tests start it by hand. Server and keys come from ~/clearml.conf: PBS
# keeps a copy of this file.
#PBS -N clearml-hpo-worker
#PBS -J 0-3
#PBS -l select=1:ncpus=4:mem=16384mb:ngpus=1
#PBS -l walltime=04:00:00
#PBS -j oe
#PBS -r y

cd "$PBS_O_WORKDIR" || exit

# PBS gives no notice of the end of the time. So 120 s before it the worker is told to take no more trials. Those
# that have not ended 90 s later are lost, and run again in another job.
exec timeout --foreground --preserve-status --signal=TERM 14280 \
    clearml-hpo worker --queue gpu --threads 4 --idle-timeout 600s --drain-timeout 90s
