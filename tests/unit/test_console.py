"""What the console of a program that has failed says of the reason."""

import pytest

from clearml_hpo.console import last_words

CHAINED = """\
Traceback (most recent call last):
  File "a.py", line 1
KeyError: 'depth'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 3
ValueError: no depth
"""


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("", ""),
        ("epoch 1\nepoch 2\n\n", "epoch 2"),
        (CHAINED, "ValueError: no depth"),
        (f"{CHAINED}2026 - clearml.Task - INFO - done\nProcess failed, exit code 1\n", "ValueError: no depth"),
        ("error: no such file\n\nProcess failed, exit code 2", "error: no such file"),
        ("Process failed, exit code 2", ""),
    ],
)
def test_the_reason_is_the_exception_else_the_last_line(output, said):
    assert last_words(output) == said
