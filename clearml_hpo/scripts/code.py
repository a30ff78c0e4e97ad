"""The files that belong to a training script.

They are: the script; modules and packages of the user's own that it imports, and what these import; files that their
sources, or the script's arguments, name; folders of configuration files that they name; and what the study file lists.
They make up the identity of a template, and travel with it as an archive.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import sys
import sysconfig
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import packages_distributions, version
from pathlib import Path

from clearml_hpo.core import syntax
from clearml_hpo.core.errors import InputError
from clearml_hpo.scripts import startup
from clearml_hpo.scripts.entry import Entry
from clearml_hpo.scripts.sources import (
    Imported,
    changes_path,
    climbs,
    imports_of,
    named_files,
    parse,
    source_of,
    written_files,
)
from clearml_hpo.scripts.starter import STARTUP

MOST_BYTES = 50 * 2**20
"""Most bytes of all files of a script together."""
MOST_FILES = 2_000
_CONFIGURATION = {".yaml", ".yml", ".json", ".toml", ".ini", ".cfg"}
_OF_A_PACKAGE = {".py", ".txt", ".csv", ".sql", ".j2", *_CONFIGURATION}
_MOST_BYTES_OF_DATA = 2**20  # of a file of a package that is no module
_NOT_CODE = {"__pycache__", "node_modules"}
_INSTALLED = {"site-packages", "dist-packages"}
_OWN_NAME = "clearml_hpo"  # a requirement as any other, also where it is installed from its sources
_NEED_STARTUP = {"click", "fire", "jsonargparse", "typer"}  # a first run under any agent fails without it
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Code:
    """A script with all that belongs to it, read once.

    Attributes:
        root: the folder that the names are relative to.
        files: contents by name, such as ``src/train.py``, sorted.
        paths: folders, by name, in which Python is to look for modules beside the script's own.
        left_out: bytes of files and folders that the sources name and that do not travel, by path.
        place: the folder that a run on this machine sees around it: ``root``, or one above it.
        written: names of files and folders that the sources write.
        imported: modules that the sources import and that are no files of the script.
    """

    entry: Entry
    root: Path
    files: Mapping[str, bytes] = field(repr=False)
    paths: Sequence[str] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    place: Path = Path("/")
    written: frozenset[str] = frozenset()
    imported: frozenset[Imported] = frozenset()

    @property
    def directory(self) -> str:
        """The working directory by name; ``.`` for the root."""
        return self.entry.directory.relative_to(self.root).as_posix()

    @property
    def words(self) -> list[str]:
        """The script and its arguments, as Python takes them in the working directory."""
        entry = self.entry
        if entry.script is None:
            return ["-m", entry.module, *entry.arguments]
        return [Path(os.path.relpath(entry.script, entry.directory)).as_posix(), *entry.arguments]

    @property
    def is_script_alone(self) -> bool:
        """Whether a task can carry it as its script, as ClearML's SDK does."""
        is_plain = self.entry.script is not None and len(self.files) == 1 and not self.entry.launcher
        return is_plain and not _NEED_STARTUP & {each.name for each in self.imported}

    @property
    def main(self) -> Path | None:
        """The file of the script or module; None of an installed module."""
        roots = [self.entry.directory, *(self.root / name for name in self.paths)]
        return self.entry.script or _file_of_module(self.entry.module, roots)

    @property
    def source(self) -> str:
        """The text of the script; of a module, that of its file, empty if it is an installed one."""
        return source_of(self.main) if self.main is not None else ""

    @cached_property
    def identity(self) -> str:
        """A short hash of all that decides what a run does, by which its template is found again."""
        contents = {name: hashlib.sha256(content).hexdigest() for name, content in self.files.items()}
        if self.is_script_alone and not self.entry.arguments:
            return next(iter(contents.values()))[:16]
        start = [self.words, self.directory, [*self.entry.launcher], [*self.paths]]
        start = start[:1] if self.is_script_alone else start
        return hashlib.sha256(json.dumps([contents, start]).encode()).hexdigest()[:16]

    def archive(self) -> bytes:
        """Its files, and the changes to the SDK that trials need, as ZIP; the same bytes for the same files."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in {**self.files, f"{STARTUP}/sitecustomize.py": startup.source()}.items():
                archive.writestr(zipfile.ZipInfo(name, _ZIP_EPOCH), content, zipfile.ZIP_DEFLATED)
        return buffer.getvalue()

    def requirements(self) -> list[str]:
        """``name==version`` of what it imports, as installed here; what is not installed has no version."""
        own = {Imported(self.entry.module.partition(".")[0])} if self.entry.module and not self.files else set()
        needed = {each.name for each in self.imported | own}
        wanted = {each.name for each in self.imported if not each.is_optional}
        distributions = packages_distributions()
        lines = []
        for module in sorted(needed - set(sys.stdlib_module_names)):
            if module in distributions:
                name = distributions[module][0]
                lines.append(f"{name}=={version(name)}")
            elif module in wanted:
                lines.append(module)
        return lines


def collect(entry: Entry) -> Code:
    """Finds and reads the files of a script.

    Raises:
        InputError: the script cannot be read or is no Python; there is no such module; the files that belong to it are
            more than :data:`MOST_FILES`, or larger than :data:`MOST_BYTES`.
    """
    search = _Search(entry)
    if entry.script is not None:
        parse(source_of(entry.script))
        search.add(entry.script)
    else:
        search.add_module(entry.module)
    for path in entry.files:
        search.add_all(path)
    for text in entry.arguments:
        search.add_named(text.rpartition("=")[2], entry.directory)
    search.follow()
    return search.code()


class _Search:
    """The files found so far, and the sources that are still to be read."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        first = entry.script.parent if entry.script is not None else entry.directory
        of_environment = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        self._roots = [first, *(Path(text).resolve() for text in of_environment if text)]
        self._first = first
        self._found: dict[Path, None] = {}
        self._unread: list[Path] = []
        self._imported: dict[str, Imported] = {}
        self._left_out: dict[Path, int] = {}
        self._written: set[str] = set()
        self._elsewhere: dict[Path, None] = {}  # folders of modules that Python finds by its own path

    def add(self, path: Path) -> None:
        """A file that belongs to the script."""
        path = path.absolute()
        if path in self._found:
            return
        self._found[path] = None
        if len(self._found) > MOST_FILES:
            raise InputError(self._too_many(f"more than {MOST_FILES} files"))
        if path.suffix == ".py":
            self._unread.append(path)

    def add_all(self, path: Path) -> None:
        """A file, or all files of a folder, that the study file lists."""
        for file in [path] if path.is_file() else _files_in(path):
            self.add(file)

    def add_module(self, name: str) -> None:
        """The module that is started."""
        top = name.partition(".")[0]
        if not self._add_own(top):
            with suppress(ImportError, ValueError):
                if importlib.util.find_spec(top) is not None:
                    return  # an installed one: a requirement
            looked = ", ".join(str(root) for root in self._roots)
            raise InputError(f"template.module: no module {name!r} in {looked}, and none is installed")
        if _file_of_module(name, [*self._roots, *self._elsewhere]) is None:
            raise InputError(f"template.module: {top!r} has no module {name!r} that `python -m` could start")

    def add_named(self, text: str, folder: Path) -> None:
        """A file that a source or an argument names; a folder of configuration files; of others, only their size."""
        path = Path(os.path.normpath(folder / text))
        with suppress(OSError):  # a folder that may not be looked into
            if Path(text).is_absolute() or not path.exists() or path in self._first.parents or path == self._first:
                return
            is_hidden = any(part.startswith(".") and part != ".." for part in Path(text).parts)
            if path.is_file():
                # A hidden file may hold credentials: it travels only if the study file lists it.
                if path.stat().st_size <= MOST_BYTES and not is_hidden:
                    self.add(path)
                else:
                    self._left_out[path] = path.stat().st_size
            elif is_hidden:
                return
            elif _has_configuration_only(path):
                self.add_all(path)
            elif not any(file.is_relative_to(path) for file in self._found):
                self._left_out[path] = sum(file.stat().st_size for file in _files_in(path, MOST_FILES))

    def follow(self) -> None:
        """Reads the sources, and adds what they import and name."""
        while self._unread:
            path = self._unread.pop()
            try:
                tree = syntax.parse(path.read_bytes())
            except (OSError, SyntaxError, ValueError, RecursionError):
                continue  # of a package, and perhaps never imported
            names = named_files(tree)
            self._written |= written_files(tree)
            above = [path.parent.parent] if climbs(tree) else []
            for folder in (path.parent, self._entry.directory, *above):
                if changes_path(tree):
                    near = [Path(os.path.normpath(folder / text)) for text in names | {".."}]
                    self._roots += [found for found in near if found.is_dir() and found not in self._roots]
                for text in names:
                    self.add_named(text, folder)
            for each in imports_of(tree):
                known = self._imported.get(each.name)
                if known is None and self._add_own(each.name):
                    continue
                if known is None or known.is_optional:
                    self._imported[each.name] = each

    def code(self) -> Code:
        """What was found, read."""
        files = sorted(self._found)
        size = sum(path.stat().st_size for path in files)
        if size > MOST_BYTES:
            raise InputError(self._too_many(f"{size / 2**20:,.0f} MB, more than {MOST_BYTES // 2**20}"))
        left_out = {path: bytes_ for path, bytes_ in self._left_out.items() if path not in self._found}
        root = _common([self._entry.directory, *files, *self._elsewhere])
        repository = next((each for each in [root, *root.parents] if (each / ".git").exists()), root)
        return Code(
            entry=self._entry,
            root=root,
            files={path.relative_to(root).as_posix(): path.read_bytes() for path in files},
            paths=[path.relative_to(root).as_posix() for path in self._elsewhere],
            left_out={str(path): bytes_ for path, bytes_ in sorted(left_out.items())},
            place=_common([root, repository, *left_out]),
            written=frozenset(self._written),
            imported=frozenset(self._imported.values()),
        )

    def _add_own(self, name: str) -> bool:
        """Adds a module or package of the user's own; False if it is none."""
        if name == _OWN_NAME:
            return False
        for root in self._roots:
            if (path := _module_in(name, root)) is not None:
                self._add_package(path)
                if root != self._first:
                    self._elsewhere[root] = None
                return True
        if (path := _installed_from_sources(name)) is None:
            return False
        self._add_package(path)
        self._elsewhere[path.parent] = None
        return True

    def _add_package(self, path: Path) -> None:
        if path.is_file():
            self.add(path)
            return
        for file in _files_in(path):
            is_small = file.suffix == ".py" or file.stat().st_size <= _MOST_BYTES_OF_DATA
            if file.suffix in _OF_A_PACKAGE and is_small:
                self.add(file)

    def _too_many(self, found: str) -> str:
        sizes: dict[str, int] = {}
        for path in self._found:
            with suppress(OSError):
                sizes[str(path.parent)] = sizes.get(str(path.parent), 0) + path.stat().st_size
        largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
        return (
            f"template: {found} belong to {self._entry}; the largest folders: {', '.join(largest)}; "
            "keep data out of the script's packages and of template.files, and read it by an absolute path or a "
            "ClearML dataset"
        )


def _common(paths: Iterable[Path]) -> Path:
    return Path(os.path.commonpath([path if path.is_dir() else path.parent for path in paths]))


def _files_in(folder: Path, most: int = MOST_FILES + 1) -> Iterator[Path]:
    """The files in a folder, sorted, without hidden ones, caches and virtual environments; no more than ``most``."""
    count = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if _is_code_folder(Path(place, name)))
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and path.suffix != ".pyc" and path.is_file():
                yield path
                count += 1
                if count >= most:
                    return


def _is_code_folder(folder: Path) -> bool:
    return not folder.name.startswith(".") and folder.name not in _NOT_CODE and not (folder / "pyvenv.cfg").exists()


def _has_configuration_only(folder: Path) -> bool:
    suffixes = {path.suffix for path in _files_in(folder)}
    return bool(suffixes & _CONFIGURATION) and suffixes <= _CONFIGURATION | {".py"}


def _module_in(name: str, root: Path) -> Path | None:
    """The file or folder of a module in a folder; None if it is not there.

    A folder without ``__init__.py``, such as one of outputs, is not preferred to an installed module.
    """
    folder = root / name
    if (folder / "__init__.py").is_file():
        return folder
    if (file := root / f"{name}.py").is_file():
        return file
    if not folder.is_dir() or next(folder.rglob("*.py"), None) is None or name in sys.stdlib_module_names:
        return None
    return None if name in packages_distributions() else folder


def _file_of_module(name: str, roots: Iterable[Path]) -> Path | None:
    """The file that ``python -m name`` starts; None if it is in none of ``roots``."""
    within = Path(*name.split("."))
    candidates = [root / path for root in roots for path in (within.with_suffix(".py"), within / "__main__.py")]
    return next((path for path in candidates if path.is_file()), None)


def _installed_from_sources(name: str) -> Path | None:
    """The file or folder of a module that Python finds, and that pip has not copied: see ``pip install -e``."""
    if name in sys.stdlib_module_names:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin).resolve()
    if _INSTALLED & set(path.parts) or path.is_relative_to(sysconfig.get_paths()["stdlib"]):
        return None
    return path.parent if path.name == "__init__.py" else path
