"""Units and compose files as text; the examples in agents/ are what the command writes."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from clearml_hpo.core.errors import InputError
from clearml_hpo.fleet.install import Machine, Plan, choose_gpus, compose, files, systemd
from tests.nvidia_smi import MIG_NAMES

AGENTS = Path(__file__).parents[3] / "agents"
MACHINE = Machine(
    host="gpu-server",
    gpus=("0", "1"),
    cores=32,
    memory_gib=256,
    user="hpo",
    uid=1000,
    config_file=Path("/home/hpo/clearml.conf"),
    python=Path("/home/hpo/hpo/bin/python"),
)
PLAN = Plan(gpus=("0", "1"), cpu=4, services=2)
EXAMPLES = {
    "systemd": systemd.render_files(PLAN, MACHINE, system=False),
    "compose": compose.render_files(PLAN, MACHINE),
}


def exec_start(unit: str, instance: str = "") -> list[str]:
    """A unit's command as systemd understands it: ``%i`` and doubled characters, then words."""
    (line,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    words = shlex.split(line.removeprefix("ExecStart="))
    return ["%".join(part.replace("%i", instance) for part in word.split("%%")).replace("$$", "$") for word in words]


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_examples_are_what_is_written(kind: str) -> None:
    written = {path.name: path.read_text() for path in (AGENTS / kind).iterdir()}
    assert written == EXAMPLES[kind]


@pytest.mark.parametrize(
    ("plan", "unit", "instance", "arguments"),
    [
        (PLAN, "gpu@", "1", "agents run --queue gpu --gpus 1 --name unit-gpu1"),
        (replace(PLAN, per_gpu=2), "gpu@", "0", "agents run --queue gpu --gpus 0,0 --name unit-gpu0"),
        (PLAN, "gpu@", MIG_NAMES[0], f"agents run --queue gpu --gpus {MIG_NAMES[0]} --name unit-gpu{MIG_NAMES[0]}"),
        (PLAN, "cpu", "", "agents run --queue cpu --cpu 4 --name unit-cpu"),
        (PLAN, "services", "", "agents run --queue services --cpu 2 --name unit-services"),
        (replace(PLAN, venv=True), "cpu", "", "agents run --queue cpu --cpu 4 --name unit-cpu --venv"),
        (replace(PLAN, warm=True), "gpu@", "1", "worker --queue gpu --gpus 1"),
        (replace(PLAN, warm=True, per_gpu=2), "gpu@", "0", "worker --queue gpu --gpus 0 --per-gpu 2"),
        (replace(PLAN, warm=True, venv=False), "cpu", "", "worker --queue cpu --cpu 4 --no-venv"),
        (replace(PLAN, warm=True), "services", "", "agents run --queue services --cpu 2 --name unit-services"),
    ],
)
def test_what_a_unit_runs(plan: Plan, unit: str, instance: str, arguments: str) -> None:
    text = systemd.render_files(plan, MACHINE, system=False)[f"clearml-hpo-{unit}.service"]
    expected = [str(MACHINE.python), "-m", "clearml_hpo", *arguments.split(), "--drain-timeout", "600s"]
    assert exec_start(text, instance) == expected


def test_what_systemd_would_read_otherwise_is_quoted() -> None:
    queue = 'a %i $HOME "b" \\c 100%'
    machine = replace(
        MACHINE, python=Path("/home/my hpo/bin/python"), environ={"CLEARML_CONFIG_FILE": "/my %h/$x.conf"}
    )
    text = systemd.render_files(replace(PLAN, queue=queue), machine, system=False)["clearml-hpo-gpu@.service"]
    words = exec_start(text, "3")
    assert words[0] == "/home/my hpo/bin/python"
    assert words[words.index("--queue") + 1] == queue
    assert words[words.index("--gpus") + 1] == "3"
    assert 'Environment="CLEARML_CONFIG_FILE=/my %%h/$x.conf"\n' in text  # there $ stands for itself


def test_units_of_the_machine_run_as_a_user_and_after_the_network() -> None:
    system = systemd.render_files(PLAN, MACHINE, system=True)
    for name, text in system.items():
        assert ("User=hpo\n" in text) == name.endswith(".service")
    assert "After=network-online.target nvidia-persistenced.service" in system["clearml-hpo-gpu@.service"]
    assert "nvidia" not in system["clearml-hpo-cpu.service"].partition("[Service]")[0]
    assert "WantedBy=multi-user.target" in system[systemd.TARGET]
    assert "WantedBy=default.target" in EXAMPLES["systemd"][systemd.TARGET]


def test_stopping_takes_longer_than_draining() -> None:
    plan = replace(PLAN, drain_s=5400.0)
    for name, text in systemd.render_files(plan, MACHINE, system=False).items():
        assert ("--drain-timeout 5400s" in text and "TimeoutStopSec=5460" in text) == name.endswith(".service")
    services = yaml.safe_load(compose.render_files(plan, MACHINE)["compose.yaml"])["services"]
    assert {service["stop_grace_period"] for service in services.values()} == {"5460s"}


def test_what_the_target_wants_no_longer() -> None:
    before = systemd.render_files(replace(PLAN, gpus=("0", "1", "3")), MACHINE, system=False)[systemd.TARGET]
    left = replace(PLAN, gpus=("0", "2"), services=0)
    assert systemd.dropped(before, left) == [
        "clearml-hpo-gpu@1.service",
        "clearml-hpo-gpu@3.service",
        "clearml-hpo-services.service",
    ]
    assert systemd.dropped("", left) == []


def test_a_container_sees_one_gpu() -> None:
    plan = replace(PLAN, gpus=MIG_NAMES, per_gpu=2, queue="a $queue")
    services = yaml.safe_load(compose.render_files(plan, MACHINE)["compose.yaml"])["services"]
    assert list(services) == ["mig-b3b2b1a0", "mig-0f6d4ee1", "gpu1", "cpu", "services"]
    for gpu, inside, service in zip(MIG_NAMES, [*MIG_NAMES[:2], "0"], services.values(), strict=False):
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert device["device_ids"] == [gpu]
        assert service["command"][2:6] == ["--queue", "a $$queue", "--gpus", f"{inside},{inside}"]
    assert not any("deploy" in services[name] for name in ("cpu", "services"))
    assert len({service["hostname"] for service in services.values()}) == 5
    assert len({service["volumes"][2] for service in services.values()}) == 5
    assert compose.dropped(compose.render_files(plan, MACHINE)["compose.yaml"], PLAN) == [
        "mig-b3b2b1a0",
        "mig-0f6d4ee1",
    ]


@pytest.mark.parametrize(
    ("wanted", "present", "chosen"),
    [
        (None, (), ()),
        (None, ("0", "1"), ("0", "1")),
        ("all", MIG_NAMES, MIG_NAMES),
        ("none", ("0", "1"), ()),
        ("1, 0", ("0", "1"), ("1", "0")),
        ("0,1", (), ("0", "1")),
        ("GPU-5d5ba0d6-d33d", ("0",), ("GPU-5d5ba0d6-d33d",)),
    ],
)
def test_gpus(wanted: str | None, present: tuple[str, ...], chosen: tuple[str, ...]) -> None:
    assert choose_gpus(wanted, present) == chosen


@pytest.mark.parametrize(
    ("wanted", "present", "complaint"),
    [
        ("all", (), "nvidia-smi lists no GPU here"),
        ("0,2", ("0", "1"), r"no GPU '2' here .*nvidia-smi lists 0, 1"),
        ("0,0", ("0",), "0 is named twice; to share a GPU give --per-gpu"),
        ("gpu/0", (), "'gpu/0' is neither an index nor a UUID"),
        ("MIG-b3b2", MIG_NAMES, "no GPU 'MIG-b3b2' here"),
    ],
)
def test_gpus_that_are_not_there(wanted: str, present: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        choose_gpus(wanted, present)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "nothing to install"),
        ({"cpu": 1, "cpu_queue": "ab"}, "three characters"),
        ({"gpus": ("0",), "queue": "a\nb\nc"}, "one line of printable text"),
    ],
)
def test_plans_that_cannot_be(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        Plan(**options)  # type: ignore[arg-type]


def test_only_what_differs_is_written(tmp_path: Path) -> None:
    texts = EXAMPLES["systemd"]
    place = tmp_path / "units"
    changes = files.compare(place, texts)
    assert {change.word for change in changes} == {"new"}
    files.write(changes)
    before = {path.name: path.stat().st_mtime_ns for path in place.iterdir()}
    assert set(before) == set(texts)

    changed = {**texts, systemd.TARGET: texts[systemd.TARGET] + "# more\n"}
    changes = files.compare(place, changed)
    assert {change.path.name for change in changes if change.word == "changed"} == {systemd.TARGET}
    files.write(changes)
    after = {path.name: path.stat().st_mtime_ns for path in place.iterdir()}
    assert {name for name in texts if after[name] != before[name]} == {systemd.TARGET}
    assert (place / systemd.TARGET).read_text().endswith("# more\n")


def test_the_file_of_a_person_is_not_overwritten(tmp_path: Path) -> None:
    mine = tmp_path / "clearml-hpo-cpu.service"
    mine.write_text("[Service]\nExecStart=/bin/true\n")
    with pytest.raises(InputError, match=r"clearml-hpo-cpu\.service was not written by this command; --force"):
        files.compare(tmp_path, EXAMPLES["systemd"])
    assert files.ours(tmp_path, systemd.NAMES) == []
    files.write(files.compare(tmp_path, EXAMPLES["systemd"], force=True))
    assert mine.read_text() == EXAMPLES["systemd"][mine.name]
    assert {path.name for path in files.ours(tmp_path, systemd.NAMES)} == set(systemd.NAMES)
