"""``clearml-hpo agents install`` as a person types it, on machines with other ``nvidia-smi`` listings; what it wrote is
checked by systemd's and compose's own rules, and run.
"""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from clearml_hpo.fleet.install import systemd
from tests import nvidia_smi
from tests.integration.fleet.conftest import DEADLINE_S, Tasks, eventually
from tests.unit.fleet.test_install import exec_start

pytestmark = pytest.mark.long

Command = Callable[..., "subprocess.CompletedProcess[str]"]
USER = pwd.getpwuid(os.getuid()).pw_name
LISTINGS = {
    "none": (nvidia_smi.NONE, ()),
    "no driver": (nvidia_smi.NO_DRIVER, ()),
    "1": (nvidia_smi.ONE, ("0",)),
    "4": (nvidia_smi.FOUR, ("0", "1", "2", "3")),
    "8": (nvidia_smi.EIGHT, tuple("01234567")),
    "MIG": (nvidia_smi.MIG, nvidia_smi.MIG_NAMES),
}
SHAPES = {
    "agents": (nvidia_smi.EIGHT, ()),
    "shared": (nvidia_smi.EIGHT, ("--per-gpu", "2", "--venv")),
    "warm": (nvidia_smi.EIGHT, ("--warm", "--per-gpu", "2")),
    "all": (nvidia_smi.MIG, ("--cpu", "2", "--services", "3")),
}


@pytest.fixture
def call(tmp_path: Path) -> Command:
    """Calls ``agents COMMAND`` on a machine with a home of its own."""

    def call(command: str, *arguments: str, listing: str = nvidia_smi.FOUR, **environ: str):
        clean = {"HOME": str(tmp_path / "home"), "PATH": nvidia_smi.put(tmp_path / "bin", listing), **environ}
        line = [sys.executable, "-m", "clearml_hpo", "agents", command, *arguments]
        return subprocess.run(line, env=clean, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S)

    return call


@pytest.fixture
def units(tmp_path: Path) -> Path:
    return tmp_path / "home/.config/systemd/user"


def _texts(output: str) -> dict[str, str]:
    """The files that a dry run has shown, by name."""
    shown = output.split("\n--- ")[1:]
    return {Path(path).name: f"{text}\n" for path, _, text in (each.partition("\n") for each in shown)}


@pytest.mark.parametrize(("listing", "gpus"), LISTINGS.values(), ids=LISTINGS)
def test_dry_run(call: Command, units: Path, tmp_path: Path, listing: str, gpus: tuple[str, ...]) -> None:
    done = call("install", "--queue", "trials", "--cpu", "2", "--dry-run", listing=listing)
    assert done.returncode == 0, done.stderr
    found = f"{len(gpus)} GPU(s): {', '.join(gpus)};" if gpus else "no GPU that nvidia-smi lists;"
    assert found in done.stdout
    texts = _texts(done.stdout)
    wanted = [line.removeprefix("Wants=") for line in texts[systemd.TARGET].splitlines() if line.startswith("Wants=")]
    assert wanted == [*(f"clearml-hpo-gpu@{gpu}.service" for gpu in gpus), "clearml-hpo-cpu.service"]
    assert ("clearml-hpo-gpu@.service" in texts) == bool(gpus)
    assert not units.exists()

    done = call("install", "--cpu", "2", "--format", "compose", "--dry-run", listing=listing)
    services = yaml.safe_load(_texts(done.stdout)["compose.yaml"])["services"].values()
    devices = [service["deploy"]["resources"]["reservations"]["devices"] for service in services if "deploy" in service]
    assert [device["device_ids"] for (device,) in devices] == [[gpu] for gpu in gpus]
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_called_again_it_writes_what_differs(call: Command, units: Path) -> None:
    arguments = ("--cpu", "2", "--services")
    done = call("install", *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n  new ") == 4
    assert "  systemctl --user daemon-reload\n  systemctl --user enable --now clearml-hpo.target" in done.stdout
    assert f"  sudo loginctl enable-linger {USER}" in done.stdout
    assert "restart" not in done.stdout
    assert {path.name for path in units.iterdir()} == set(systemd.NAMES)

    again = call("install", *arguments)
    assert again.stdout.count("\n  unchanged ") == 4
    assert "then:" not in again.stdout

    fewer = call("install", "--cpu", "3", listing=nvidia_smi.ONE)
    expected = {
        "clearml-hpo.target": "changed",
        "clearml-hpo-gpu@.service": "unchanged",
        "clearml-hpo-cpu.service": "changed",
    }
    for name, word in expected.items():
        assert f"  {word:10} {name}\n" in fewer.stdout
    for gone in ("gpu@1.service", "gpu@2.service", "gpu@3.service", "services.service"):
        assert f"  not wanted clearml-hpo-{gone}" in fewer.stdout
    assert "systemctl --user stop clearml-hpo-gpu@1.service clearml-hpo-gpu@2.service" in fewer.stdout
    assert "systemctl --user restart clearml-hpo.target" in fewer.stdout


def test_uninstall(call: Command, units: Path) -> None:
    call("install", "--cpu", "2")
    mine = units / "clearml-hpo-services.service"
    mine.write_text("[Service]\nExecStart=/bin/true\n")
    enabled = units / "default.target.wants" / systemd.TARGET
    enabled.parent.mkdir()
    enabled.symlink_to(units / systemd.TARGET)

    unknown = call("uninstall", mine.name)
    assert unknown.returncode == 2
    assert "agents install has written no clearml-hpo-services.service" in unknown.stderr

    assert "would go   clearml-hpo-cpu.service" in call("uninstall", "--dry-run").stdout
    one = call("uninstall", "clearml-hpo-cpu.service")
    assert "  systemctl --user stop clearml-hpo-cpu.service" in one.stdout
    assert not (units / "clearml-hpo-cpu.service").exists() and enabled.is_symlink()

    rest = call("uninstall")
    assert "  systemctl --user stop clearml-hpo.target" in rest.stdout
    assert {*units.iterdir()} == {mine, enabled.parent}
    assert not enabled.is_symlink()
    assert "written nothing here" in call("uninstall").stdout


def test_keys_are_in_no_file(call: Command, units: Path, tmp_path: Path) -> None:
    (tmp_path / "my.conf").write_text('api { credentials { access_key: "AKEY", secret_key: "ASECRET" } }\n')
    keys = {
        "CLEARML_API_HOST": "https://api.lab",
        "CLEARML_API_ACCESS_KEY": "BKEY",
        "CLEARML_API_SECRET_KEY": "BSECRET",
    }
    without = call("install", **keys)
    assert f"there is no {tmp_path}/home/clearml.conf" in without.stdout
    assert "keys of this shell's environment are not written into files" in without.stdout
    done = call("install", "--cpu", "1", **keys, CLEARML_CONFIG_FILE="my.conf")
    assert f"server and keys are those of {tmp_path}/my.conf" in done.stdout
    call("install", "--format", "compose", **keys, CLEARML_CONFIG_FILE="my.conf")
    written = [path.read_text() for path in (*units.iterdir(), *(tmp_path / "clearml-hpo-agents").iterdir())]
    assert not any(key in text for text in written for key in ("AKEY", "ASECRET", "BKEY", "BSECRET"))
    assert f"Environment=CLEARML_CONFIG_FILE={tmp_path}/my.conf" in (units / "clearml-hpo-cpu.service").read_text()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--gpus", "0,7"], "no GPU '7' here"),
        (["--queue", "ab"], "three characters"),
        (["--drain-timeout", "soon"], "'soon' is no duration"),
        (["--run-as", USER], "--run-as: units of your own"),
        (["--system", "--run-as", "nobody-of-that-name"], "there is no user 'nobody-of-that-name'"),
        (["--services", "0"], "--services"),
    ],
)
def test_bad_input_is_exit_code_2(call: Command, units: Path, arguments: list[str], complaint: str) -> None:
    done = call("install", *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert not units.exists()


def test_nothing_to_install(call: Command) -> None:
    done = call("install", listing=nvidia_smi.NONE)
    assert done.returncode == 2
    assert "nvidia-smi lists no GPU here; name GPUs (--gpus 0,1)" in done.stderr


def test_a_folder_that_cannot_be_written(call: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = call("install", "--directory", "file/units")
    assert done.returncode == 1
    assert "cannot be written: Not a directory" in done.stderr


README = (Path(__file__).parents[3] / "agents" / "README.md").read_text()
COMMANDS = re.findall(r"^(?:sudo ~/hpo/bin/)?clearml-hpo agents (install.*?)(?: *#.*)?$", README, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_readme(call: Command, tmp_path: Path, command: str) -> None:
    arguments = shlex.split(command.replace("$USER", USER))
    done = call(*arguments, *(["--directory", "units"] if "--system" in arguments else []))
    assert done.returncode == 0, done.stderr
    _, _, then = done.stdout.partition("then:\n")
    said = [line.partition("  #")[0].strip() for line in then.splitlines()]
    assert bool(said) == ("--dry-run" not in arguments)
    if "--system" not in arguments:  # what is to be typed then is in the README too
        shown = [line.replace(f"{tmp_path}/", "").replace(f"linger {USER}", 'linger "$USER"') for line in said]
        assert [line for line in shown if line not in README] == []


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/bin")
    if found is None and os.environ.get("CI") != "true":
        pytest.skip(f"{name} is not installed")
    assert found, f"{name} is not installed"
    return found


@pytest.mark.parametrize("manager", ["--user", "--system"])
@pytest.mark.parametrize(("listing", "shape"), SHAPES.values(), ids=SHAPES)
def test_systemd_finds_no_fault(
    call: Command, tmp_path: Path, listing: str, shape: tuple[str, ...], manager: str
) -> None:
    run_as = ("--run-as", USER) if manager == "--system" else ()
    done = call("install", manager, *run_as, "--directory", "units", *shape, listing=listing)
    assert done.returncode == 0, done.stderr
    assert _verified(tmp_path, manager) == ""


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("KillMode=mixed", "KillMode=mixd", "Failed to parse kill mode"),
        ("OOMPolicy=", "OOMPolice=", "Unknown key"),
        (f"ExecStart={sys.executable}", "ExecStart=/no/such/python", "is not executable"),
    ],
)
def test_faults_would_be_found(call: Command, tmp_path: Path, right: str, wrong: str, complaint: str) -> None:
    call("install", "--directory", "units")
    unit = tmp_path / "units/clearml-hpo-gpu@.service"
    unit.write_text(unit.read_text().replace(right, wrong))
    assert complaint in _verified(tmp_path, "--user")


def _verified(tmp_path: Path, manager: str) -> str:
    """What systemd says of the units, and of the instances that the target wants."""
    line = [_program("systemd-analyze"), manager, "verify", *map(str, (tmp_path / "units").iterdir())]
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(line, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S)
    return done.stdout + done.stderr


@pytest.mark.parametrize(("listing", "shape"), SHAPES.values(), ids=SHAPES)
def test_the_compose_file_keeps_to_the_specification(
    call: Command, tmp_path: Path, listing: str, shape: tuple[str, ...]
) -> None:
    done = call("install", "--format", "compose", "--directory", "box", *shape, listing=listing)
    assert done.returncode == 0, done.stderr
    assert f"  docker compose -f {tmp_path}/box/compose.yaml up -d --build" in done.stdout
    checked = _checked(tmp_path / "box/compose.yaml")
    assert checked.returncode == 0, checked.stdout


def test_a_compose_file_that_does_not_would_be_found(call: Command, tmp_path: Path) -> None:
    call("install", "--format", "compose", "--directory", "box")
    broken = tmp_path / "box/compose.yaml"
    broken.write_text(broken.read_text().replace("device_ids: [", "device_id: ["))
    assert "device_id" in _checked(broken).stdout


def _checked(path: Path) -> subprocess.CompletedProcess[str]:
    line = [_program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(line, capture_output=True, text=True, timeout=DEADLINE_S)


@pytest.mark.agent
@pytest.mark.parametrize("kind", ["agents", "warm"])
def test_what_a_unit_runs_serves_the_queue_until_it_is_terminated(
    call: Command, server_environ: dict[str, str], tasks: Tasks, queue: str, tmp_path: Path, units: Path, kind: str
) -> None:
    call("install", "--cpu", "1", "--cpu-queue", queue, *["--warm"] * (kind == "warm"), listing=nvidia_smi.NONE)
    command = exec_start((units / "clearml-hpo-cpu.service").read_text())
    environ = {**server_environ, "CLEARML_HPO_HOME": str(tmp_path / "state")}
    task = tasks.make("print('it ran')\n")

    def serves() -> bool:
        workers = tasks.client.call("workers.get_all")["workers"]
        return any(served.get("name") == queue for worker in workers for served in worker["queues"])

    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as unit:
        try:
            eventually(serves, "it is registered")
            tasks.enqueue(task, queue)
            eventually(lambda: tasks.status(task) == "completed", "it runs a task")
            unit.send_signal(signal.SIGTERM)
            said, _ = unit.communicate(timeout=DEADLINE_S)
        finally:
            unit.kill()
    assert unit.returncode == 0, said
    assert not serves()
