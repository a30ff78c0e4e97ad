"""The folder of a script, shown to a run."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from clearml_hpo.scripts.code import collect
from clearml_hpo.scripts.entry import Entry
from clearml_hpo.scripts.place import Place, show_around


def place_of(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / "src" / "pkg").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "src" / "train.py").write_text("import pkg.a")
    for name in ("src/pkg/a.py", "src/pkg/big.bin", "src/best.pt", "data/rows.csv", "src/__pycache__"):
        (tmp_path / name).touch()
    code = collect(Entry(tmp_path / "src" / "train.py", tmp_path / "src"))
    return code, Place.of(code)


def test_a_run_sees_what_lies_around_its_script(tmp_path):
    code, place = place_of(tmp_path)
    assert (place.folder, place.root, place.directory, place.script) == (str(tmp_path), "src", ".", "train.py")
    run = tmp_path / "run"
    show_around(place, code.files, run)
    links = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_symlink()}
    assert links == {".git", "data", "src/best.pt", "src/pkg/big.bin", "run"}
    assert (run / "src" / "pkg").is_dir() and not (run / "src" / "train.py").exists()
    (run / "src" / "new.pt").write_text("of this run")
    assert not (tmp_path / "src" / "new.pt").exists()


def test_what_a_script_writes_is_its_own_in_each_run(tmp_path):
    source = "Path('out').mkdir(exist_ok=True)\n(Path('out') / 'best.pt').write_text('x')\ntorch.save(1, 'last/a.pt')"
    (tmp_path / "project").mkdir()
    for name in ("out/best.pt", "out/kept/data.bin", "out/names.txt", "last/a.pt", "last/b.pt", "best.pt"):
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / name).write_text("of before")
    (tmp_path / "project" / "train.py").write_text(source)
    code = collect(Entry(tmp_path / "project" / "train.py", tmp_path / "project"))
    place, run = Place.of(code), tmp_path / "run"
    assert Place.read(str(place)) == place
    show_around(place, code.files, run)
    links = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_symlink()}
    assert links == {"out/kept", "out/names.txt", "last/b.pt"}


def test_a_place_of_another_machine_or_that_is_gone_is_none(tmp_path):
    _, place = place_of(tmp_path)
    assert Place.read(str(place)) == place
    for other in (
        replace(place, host="elsewhere"),
        replace(place, folder="/nowhere"),
        replace(place, root=".."),
    ):
        assert Place.read(str(other)) is None
    assert Place.read("") is None and Place.read(json.dumps({**asdict(place), "more": 1})) is None
