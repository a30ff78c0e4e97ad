from __future__ import annotations

import sys
from pathlib import Path

import pytest

from clearml_hpo.fleet import AgentSlot, daemon
from clearml_hpo.machine.settings import ServerAddress

SERVER = ServerAddress("http://api:8008", "http://web:8080", "http://files:8081", "key", "secret")
PLACE = daemon.Workplace("host:x", Path("/home/u/agents/default/x"), Path("/scratch/x"))
GPU = AgentSlot("gpu1", "trials", ("1",))
CPU = AgentSlot("cpu0", "trials")


def _environ(slot: AgentSlot, *, venv: bool = False, **inherited: str) -> dict[str, str]:
    return daemon.environ(inherited, slot, PLACE, server=SERVER, threads=3, venv=venv)


@pytest.mark.parametrize(
    ("slot", "device"),
    [(GPU, ["--gpus", "1"]), (AgentSlot("g", "trials", ("0", "2")), ["--gpus", "0,2"]), (CPU, ["--cpu-only"])],
)
def test_command(slot: AgentSlot, device: list[str]) -> None:
    assert daemon.command(slot) == [
        *(sys.executable, "-m", "clearml_agent", "daemon", "--foreground"),
        *("--create-queue", "--queue", "trials"),
        *device,
    ]


@pytest.mark.parametrize(("slot", "seen"), [(GPU, "1"), (CPU, "none")])
def test_visible_devices(slot: AgentSlot, seen: str) -> None:
    environ = _environ(slot, CUDA_VISIBLE_DEVICES="0,1,2,3")
    assert environ["CUDA_VISIBLE_DEVICES"] == environ["NVIDIA_VISIBLE_DEVICES"] == seen


def test_threads_are_limited_without_a_gpu_unless_the_user_says_otherwise() -> None:
    assert _environ(CPU)["OMP_NUM_THREADS"] == "3"
    assert _environ(CPU, OMP_NUM_THREADS="7")["OMP_NUM_THREADS"] == "7"
    assert "OMP_NUM_THREADS" not in _environ(GPU)


def test_each_agent_has_its_own_place() -> None:
    environ = _environ(CPU)
    assert environ["CLEARML_WORKER_ID"] == "host:x"
    assert environ["CLEARML_AGENT__AGENT__VENVS_DIR"] == '"/home/u/agents/default/x"'
    assert environ["TMPDIR"] == "/scratch/x"


def test_pythons_of_its_tasks_run_our_startup_file_first() -> None:
    found = _environ(CPU, PYTHONPATH="/own")["PYTHONPATH"].split(":")
    assert (Path(found[0]) / "sitecustomize.py").is_file() and found[1:] == ["/own"]


def test_virtual_environments_are_an_option() -> None:
    assert _environ(CPU)["CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL"] == "1"
    assert "CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL" not in _environ(CPU, venv=True)


def test_nothing_of_a_surrounding_task_is_inherited() -> None:
    environ = _environ(CPU, CLEARML_TASK_ID="t", TRAINS_TASK_ID="t", CLEARML_PROC_MASTER_ID="1:t", RANK="3", A="b")
    assert environ["A"] == "b"
    assert not {"CLEARML_TASK_ID", "TRAINS_TASK_ID", "CLEARML_PROC_MASTER_ID", "RANK"} & environ.keys()


def test_the_server_that_is_given_wins() -> None:
    environ = _environ(CPU, CLEARML_API_HOST="http://other", CLEARML_AUTH_TOKEN="t")
    assert environ["CLEARML_API_HOST"] == "http://api:8008"
    assert "CLEARML_AUTH_TOKEN" not in environ


def test_a_server_of_this_machine_is_reached_around_proxies() -> None:
    local = ServerAddress("http://127.0.0.1:8008", "", "", "key", "secret")
    inherited = {"HTTP_PROXY": "http://proxy", "NO_PROXY": "intranet"}
    environ = daemon.environ(inherited, CPU, PLACE, server=local, threads=1)
    assert environ["no_proxy"] == environ["NO_PROXY"] == "intranet,127.0.0.1,localhost,::1"
    assert "no_proxy" not in _environ(CPU, **inherited)


def test_what_the_user_has_set_wins_over_the_tuning() -> None:
    assert _environ(CPU)["CLEARML_AGENT_QUEUE_POLL_FREQ_SEC"] == "0.5"
    assert _environ(CPU, CLEARML_AGENT_QUEUE_POLL_FREQ_SEC="2")["CLEARML_AGENT_QUEUE_POLL_FREQ_SEC"] == "2"


def test_without_a_server_the_configured_one_is_used() -> None:
    inherited = {"CLEARML_API_HOST": "http://other", "CLEARML_AUTH_TOKEN": "t"}
    environ = daemon.environ(inherited, CPU, PLACE, server=None, threads=1)
    assert inherited.items() <= environ.items()
