from __future__ import annotations

import stat
from pathlib import Path

import pytest

from clearml_hpo.core.errors import InputError
from clearml_hpo.fleet import AgentSlot, AgentState, Fleet, fleet_names
from clearml_hpo.fleet.state import FleetFolder, Plan
from clearml_hpo.machine.processes import ProcessId
from clearml_hpo.machine.settings import ServerAddress

GPU = AgentSlot("gpu0", "trials", ("0",))
CPU = AgentSlot("cpu0", "trials")
FLEET = Fleet(
    name="a",
    supervisor=ProcessId(1, 2.5),
    agents=(
        AgentState(GPU, "host:gpu0", "busy", ProcessId(3, 4.5), 0, "task", Path("/logs/gpu0.log")),
        AgentState(CPU, "host:cpu0", "failed", None, 5, None, Path("/logs/cpu0.log"), "died"),
    ),
    gates=("q1",),
    tmp=Path("/scratch"),
)


def test_a_fleet_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = FleetFolder(tmp_path, "a")
    assert folder.read_fleet() is None
    folder.write_fleet(FLEET)
    assert folder.read_fleet() == FLEET
    assert FLEET.agents[0].pid == 3


def test_a_plan_is_read_as_it_was_written_and_is_private(tmp_path: Path) -> None:
    folder = FleetFolder(tmp_path, "a")
    plan = Plan("a", (GPU, CPU), ServerAddress("api", "web", "files", "key", "secret"), venv=True)
    folder.write_plan(plan)
    assert folder.read_plan() == plan
    assert (folder.path / "plan.json").stat().st_mode & 0o777 == 0o600


def test_what_has_ended_is_forgotten(tmp_path: Path) -> None:
    folder = FleetFolder(tmp_path, "a")
    folder.write_plan(Plan("a", (GPU,)))
    folder.write_fleet(FLEET)
    folder.clear()
    assert (folder.read_plan(), folder.read_fleet()) == (None, None)
    assert list(folder.path.iterdir()) == []


def test_fleets_lie_side_by_side(tmp_path: Path) -> None:
    assert fleet_names(tmp_path) == ()
    for name in ("b", "a"):
        FleetFolder(tmp_path, name).write_plan(Plan(name, (GPU,)))
    assert fleet_names(tmp_path) == ("a", "b")


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b"])
def test_a_name_is_a_folders_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        FleetFolder(tmp_path, name)


def test_a_folder_is_its_owners_alone_also_one_of_an_earlier_version(tmp_path: Path) -> None:
    old = tmp_path / "agents" / "old"
    old.mkdir(parents=True, mode=0o755)
    for name in ("old", "new"):
        folder = FleetFolder(tmp_path, name)
        folder.write_plan(Plan(name, ()))
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        with folder.locked():
            assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b"\0\0", b'{"name": 1, "slots": 5}'])
def test_a_damaged_file_is_as_none(tmp_path: Path, damage: bytes) -> None:
    folder = FleetFolder(tmp_path, "default")
    folder.write_plan(Plan("default", ()))
    for name in ("fleet.json", "plan.json"):
        (folder.path / name).write_bytes(damage)
    assert folder.read_fleet() is None and folder.read_plan() is None
