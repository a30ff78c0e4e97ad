"""Files that start workers on clusters: filled in, and applied by the user.

files.py       renders templates, and writes what is not there yet
kubernetes.py  workers, controllers, Dask and the embedded server on Kubernetes
batch.py       what jobs of the batch systems have in common
slurm.py       an array of workers, and a Dask cluster, on Slurm
pbs.py         an array of workers on PBS
htcondor.py    workers on HTCondor

Each kind of cluster is a module, with its templates in ``templates/<kind>/``: ``render_files`` makes the texts by file
name, ``next_commands`` what a user types then, and why.
"""
