#!/bin/bash
# The scheduler of a Dask cluster: sbatch dask-scheduler.sh, then dask-worker.sh in the same folder, which both share.
# Who reaches its port runs programs as you: docs/slurm.md says how to encrypt. Words after the file's name are added
# to its options.
#SBATCH --job-name=clearml-hpo-dask-scheduler
#SBATCH --nodes=1
#SBATCH --cpus-per-task=1
#SBATCH --mem=4096M
#SBATCH --time={{ walltime }}
#SBATCH --output=%x-%j.log
{{ own -}}
# A task of Dask is a trial here; of tasks that it does not know Dask thinks that they take half a second.
export DASK_DISTRIBUTED__SCHEDULER__DEFAULT_TASK_DURATIONS='{"clearml-trial": "1h"}'
rm -f dask-scheduler.json
exec dask scheduler --port 0 --dashboard-address :0 --scheduler-file dask-scheduler.json --idle-timeout 3600 "$@"
