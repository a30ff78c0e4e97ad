"""A server's data in one file, and back."""

from __future__ import annotations

import io
import sqlite3
import stat
import tarfile
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner

from clearml_hpo.cli import main
from clearml_hpo.core.errors import ClearmlHpoError, InputError, ServerError
from clearml_hpo.server import backup, keys
from clearml_hpo.server.credentials import Credentials
from clearml_hpo.server.state import DataDir, Listening

from .server_without_sockets import Api


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A server's data with a task, a key pair and two uploaded files."""
    path = tmp_path / "data"
    path.mkdir()
    api = Api(path)
    api.report(api.task(name="a task"), (1, 2.0))
    api.store.close()
    keys.add(path, "ci")
    DataDir(path).note(Listening(123, "127.0.0.1", 1, 2, 3, held=True))
    (path / "files" / "a project").mkdir()
    for name in ("x.bin", "a project/ü.bin"):
        (path / "files" / name).write_bytes(name.encode())
    (path / "files" / "link").symlink_to("/etc/passwd")
    return path


def names(path: Path) -> list[str]:
    return sorted(str(each.relative_to(path)) for each in path.rglob("*") if each.is_file())


def test_there_and_back(data: Path, tmp_path: Path) -> None:
    before = DataDir(data)
    whole, new = tmp_path / "b.tar", tmp_path / "new"
    done = backup.write(data, whole, files=True)
    assert (done.files, done.size) == (2, whole.stat().st_size)
    assert stat.S_IMODE(whole.stat().st_mode) == 0o600
    assert backup.restore(whole, new).files == 2
    after = DataDir(new)
    assert after.credentials() == before.credentials()
    assert asdict(after.listening() or before) == asdict(Listening(0, "127.0.0.1", 1, 2, 3))
    assert names(new / "files") == ["a project/ü.bin", "x.bin"]
    assert (new / "files" / "a project" / "ü.bin").read_text() == "a project/ü.bin"
    assert [key.label for key in keys.listed(new)] == ["owner", "ci"]
    api = Api(new)
    assert api.names() == ["a task"]
    api.store.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar", "data", "new"]


def test_files_that_share_their_content_on_disk_come_back_as_two(data: Path, tmp_path: Path) -> None:
    (data / "files" / "y.bin").hardlink_to(data / "files" / "x.bin")
    whole, new = tmp_path / "b.tar", tmp_path / "new"
    backup.write(data, whole, files=True)
    assert backup.restore(whole, new).files == 3
    assert (new / "files" / "y.bin").read_text() == "x.bin"


def test_without_files(data: Path, tmp_path: Path) -> None:
    assert backup.write(data, tmp_path / "b.tar").files is None
    backup.restore(tmp_path / "b.tar", tmp_path / "new")
    assert names(tmp_path / "new") == ["credentials.json", "server.json", "store.sqlite3"]


def test_nothing_is_replaced_without_force(data: Path, tmp_path: Path) -> None:
    whole = tmp_path / "b.tar"
    whole.write_text("precious")
    with pytest.raises(InputError, match="exists"):
        backup.write(data, whole)
    assert whole.read_text() == "precious"
    backup.write(data, whole, force=True)
    with pytest.raises(InputError, match="not empty"):
        backup.restore(whole, data)
    assert (data / "files" / "x.bin").exists()
    backup.restore(whole, data, force=True)
    assert not (data / "files").exists()


def test_a_running_servers_data_is_not_replaced(data: Path, tmp_path: Path) -> None:
    backup.write(data, tmp_path / "b.tar")
    with DataDir(data).locked(), pytest.raises(ServerError, match="already runs"):
        backup.restore(tmp_path / "b.tar", data, force=True)
    assert (data / "files" / "x.bin").exists()


def archive(path: Path, *members: tuple[str, bytes], links: bool = False) -> Path:
    with tarfile.open(path, "w") as made:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if links:
                info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc/passwd", 0
            made.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "files/../../out", "files", "other", "files/../store.sqlite3"])
def test_what_is_no_backup_is_refused_and_writes_nothing(name: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "b.tar", (name, b"x"))
    with pytest.raises(InputError, match="no backup of a server"):
        backup.restore(path, tmp_path / "new")
    assert [each.name for each in tmp_path.iterdir()] == ["b.tar"]


def test_links_damage_and_other_files_are_refused(tmp_path: Path) -> None:
    sound = (("store.sqlite3", b"no database" * 1000), ("credentials.json", b"{}"))
    (tmp_path / "text").write_text("text")
    for path, said in (
        (archive(tmp_path / "links", *sound, links=True), "no backup"),
        (archive(tmp_path / "damaged", *sound), "damaged"),
        (archive(tmp_path / "part", sound[0]), "no backup"),
        (tmp_path / "text", "cannot be read"),
    ):
        with pytest.raises(ClearmlHpoError, match=said):
            backup.restore(path, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_backup_of_a_newer_version_is_refused(data: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(data / "store.sqlite3")) as database:
        database.execute("PRAGMA user_version = 999")
    backup.write(data, tmp_path / "b.tar")
    with pytest.raises(ServerError, match="newer version"):
        backup.restore(tmp_path / "b.tar", tmp_path / "new")


def test_what_cannot_be_written_is_said(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no server was ever started"):
        backup.write(tmp_path / "nowhere", tmp_path / "b.tar")
    with pytest.raises(InputError, match="cannot write"):
        backup.write(data, tmp_path / "no folder" / "b.tar")


def test_the_commands(data: Path, tmp_path: Path) -> None:
    def call(*arguments: str) -> str:
        result = CliRunner().invoke(main, ["server", *arguments])
        assert result.exit_code == 0, result.output
        return result.output

    said = call("backup", f"{tmp_path}/b.tar", "--data", str(data), "--files")
    assert "with 2 uploaded files" in said
    said = call("restore", f"{tmp_path}/b.tar", "--data", str(tmp_path / "new"))
    assert f"server start --data {tmp_path}/new" in said
    assert DataDir(tmp_path / "new").credentials() == Credentials.load_or_make(data / "credentials.json")
