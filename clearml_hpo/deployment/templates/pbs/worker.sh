#!/bin/bash
# Warm workers for a ClearML queue, as an array of jobs of OpenPBS or PBS Professional: qsub worker.sh
# No PBS has run this file yet: the project's tests start it by hand. Server and keys come from ~/clearml.conf: PBS
# keeps a copy of this file.
#PBS -N clearml-hpo-worker
{% if jobs > 1 %}
#PBS -J 0-{{ jobs - 1 }}
{% endif %}
#PBS -l select=1:ncpus={{ cores }}:mem={{ memory_mib }}mb{{ ":ngpus=%d" % gpus if gpus }}
#PBS -l walltime={{ walltime }}
#PBS -j oe
#PBS -r y
{{ own -}}
cd "$PBS_O_WORKDIR" || exit

# PBS gives no notice of the end of the time. So {{ end_s }} s before it the worker is told to take no more trials. Those
# that have not ended {{ drain_s }} s later are lost, and run again in another job.
exec timeout --foreground --preserve-status --signal=TERM {{ until_end_s }} \
    {{ command }}
