"""Trials on a Dask cluster: Dask decides when and where a trial runs; ClearML's status says what became of it.

plan.py      what a study asks of a cluster
executor.py  the executor
tickets.py   the thread of the executor that speaks with the scheduler
members.py   the workers of a cluster, as one study sees them
cluster.py   clusters that a study starts: of this machine, of batch systems, of Kubernetes
slots.py     the Dask workers of this machine, one for each slot
trials.py    what a Dask worker does with a ticket
preload.py   prepares a Dask worker at its start
service.py   Dask workers on this machine until they leave, for ``dask worker``
outlook.py   what a scheduler tells of its workers, for ``dask status`` and ``check``

The package ``distributed`` is imported by most of these modules, and by no other one.
"""
