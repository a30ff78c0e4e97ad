"""Faults of a Dask cluster, each by the real processes."""
