#!/bin/bash
# Warm workers for a ClearML queue, as an array of jobs: sbatch worker.sh
# Words after the file's name are added to the worker's options. Server and keys come from ~/clearml.conf: Slurm keeps
# a copy of this file, which others may read.
#SBATCH --job-name=clearml-hpo-worker
#SBATCH --array=0-3
#SBATCH --nodes=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=16384M
#SBATCH --gres=gpu:1
#SBATCH --time=04:00:00
#SBATCH --output=%x-%A_%a.log
# A job that was preempted, or whose node failed, waits again.
#SBATCH --requeue
#SBATCH --open-mode=append
# SIGTERM to this shell so many seconds before the time is over.
#SBATCH --signal=B:TERM@120

# The worker takes the place of this shell, so that it gets Slurm's SIGTERM itself, and once: it takes no more trials
# then. Those that have not ended after 90 s are lost, and run again in another job.
exec clearml-hpo worker --queue gpu --threads 4 --idle-timeout 600s --drain-timeout 90s "$@"
