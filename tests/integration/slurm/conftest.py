"""A Slurm, and a connection to the embedded server that jobs use too."""

from tests.slurm import slurm

__all__ = ["slurm"]
