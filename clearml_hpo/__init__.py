"""Hyperparameter optimisation for ClearML that runs the same study file on a laptop and on a fleet of GPU servers."""

from __future__ import annotations
