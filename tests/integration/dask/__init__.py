"""Faults of a Dask cluster, each by the real processes."""

import pytest

pytest.register_assert_rewrite("clearml_hpo.testing.executor_contract")
