import pytest

pytest.register_assert_rewrite("clearml_hpo.testing.executor_contract")
