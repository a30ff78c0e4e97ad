"""What the console of a program that has failed says of the reason."""

import pytest

from clearml_hpo.workers.last_line import last_words, signal_of, was_killed, what_matters, with_signal

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
        (
            "Primary config directory not found.\nCheck that the config directory '/a/conf' exists and readable\n\n"
            "Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.\n",
            "Check that the config directory '/a/conf' exists and readable",
        ),
    ],
)
def test_the_reason_is_the_exception_else_the_last_line(output, said):
    assert last_words(output) == said


@pytest.mark.parametrize(
    ("code", "number"),
    [(-9, 9), (247, 9), (137, 9), (-11, 11), (245, 11), (139, 11), (0, 0), (1, 0), (255, 0), (-2, 0), (143, 0), (9, 0)],
)
def test_which_exit_codes_of_an_agent_are_of_a_crash_or_a_kill(code, number):
    assert signal_of(code) == number
    named = (
        f"ended by SIG{'KILL' if number == 9 else 'SEGV'}, signal {number}"
        if number
        else f"worker execution exit code {code}"
    )
    assert with_signal(f"worker execution exit code {code}").startswith(named)
    assert was_killed(f"worker execution exit code {code}") is (number == 9)


def test_a_script_that_says_killed_was_not():
    assert not was_killed("RuntimeError: ended by SIGKILL, signal 9 (exit code 1)")


def test_what_matters_of_a_console():
    own = ["Traceback (most recent call last):", '  File "/home/me/train.py", line 3, in <module>', "    main()"]
    library = [
        '  File "/x/site-packages/hydra/main.py", line 94, in decorated_main',
        "    _run_hydra(",
        "    ^^^^^^^^^^^",
    ]
    noise = [
        "ClearML Task: created new task id=1",
        "ClearML results page: http://x",
        "/x/a.py:3: FutureWarning: old",
        "  warnings.warn('old')",
        "Error executing job with overrides: []",
        "",
        "(Pdb) ",
    ]
    end = ["KeyError: 'lr'", "Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace."]
    assert what_matters("\n".join([*noise, "epoch 1", *own, *library, *end])) == "\n".join([*own, "KeyError: 'lr'"])
    assert what_matters("\n".join([*noise, "epoch 1", "no data"])) == "epoch 1\nno data"
    long = what_matters("\n".join(map(str, range(100))), most=5)
    assert long == "0\n  ...\n97\n98\n99"


def test_a_line_of_the_sdk_is_no_reason():
    log = "loading\n2026-01-01 10:00:00 - clearml.resource_monitor - WARNING - Could not fetch GPU stats"
    assert last_words(log) == "loading" and last_words(log.partition("\n")[2]) == ""


def test_a_launcher_only_says_that_the_script_failed():
    script = ["Traceback (most recent call last):", '  File "train.py", line 3', "ValueError: depth"]
    launcher = ["Traceback (most recent call last):", "subprocess.CalledProcessError: Command 'x' returned 1"]
    log = "\n".join([*script, *launcher])
    assert last_words(log) == "ValueError: depth" and what_matters(log) == "\n".join(script)
    assert last_words("\n".join(launcher)) == launcher[1]
