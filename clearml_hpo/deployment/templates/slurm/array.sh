#!/bin/bash
# {{ about }}
# Words after the file's name are added to the worker's options. Server and keys come from ~/clearml.conf: Slurm keeps
# a copy of this file, which others may read.
#SBATCH --job-name={{ name }}
#SBATCH --array=0-{{ jobs - 1 }}
#SBATCH --nodes=1
#SBATCH --cpus-per-task={{ cores }}
#SBATCH --mem={{ memory_mib }}M
{% if gpus %}
#SBATCH --gres=gpu:{{ gpus }}
{% endif %}
#SBATCH --time={{ walltime }}
#SBATCH --output=%x-%A_%a.log
# A job that was preempted, or whose node failed, waits again.
#SBATCH --requeue
#SBATCH --open-mode=append
# SIGTERM to this shell so many seconds before the time is over.
#SBATCH --signal=B:TERM@{{ end_s }}
{{ own -}}
# The worker takes the place of this shell, so that it gets Slurm's SIGTERM itself, and once: it takes no more trials
# then. Those that have not ended after {{ drain_s }} s are lost, and run again in another job.
exec {{ command }} "$@"
