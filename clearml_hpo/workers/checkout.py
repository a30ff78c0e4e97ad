"""Checks out the code of a task and becomes its program: ``python -m clearml_hpo.workers.checkout PLAN``.

It runs as the task's own process. So the task's console shows the fetch, an abort ends it, and no other task waits for
it. Commits are fetched once; every run gets a fresh tree.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class CheckoutPlan:
    """What to fetch, and which part of it to run.

    Attributes:
        repository: URL or path, as ``git clone`` takes it.
        revision: commit or tag; empty for the head of ``branch``.
        branch: empty for the repository's default branch.
        patch: a file with uncommitted changes, as ``git diff`` writes them; empty for none.
        mirror: bare clone of the repository, shared by all trees.
        tree: folder of the tree, which is made anew.
        working_dir: folder within the tree in which the program starts.
        entry_point: path from there, or ``-m module``; arguments may follow.
    """

    repository: str
    revision: str
    branch: str
    patch: str
    mirror: str
    tree: str
    working_dir: str
    entry_point: str

    def write(self, path: Path) -> None:
        """Writes it to a file."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> CheckoutPlan:
        """Reads what :meth:`write` has written."""
        return cls(**json.loads(path.read_text()))


class CheckoutError(Exception):
    """The code cannot be fetched."""


def arguments(entry_point: str, working_dir: Path) -> list[str]:
    """An entry point as arguments for Python. The name of a file may contain spaces; anything else is split at them."""
    return [entry_point] if (working_dir / entry_point).is_file() else shlex.split(entry_point)


def make_tree(plan: CheckoutPlan) -> Path:
    """Makes the tree; returns the folder in which the program starts.

    Raises:
        CheckoutError: git fails, or there is no such folder.
    """
    mirror, tree = Path(plan.mirror), Path(plan.tree)
    shutil.rmtree(tree, ignore_errors=True)
    commit = _fetched(plan, mirror)
    # --shared: the tree borrows the commits instead of copying them.
    _git("clone", "--quiet", "--shared", "--no-checkout", str(mirror), str(tree))
    _git("checkout", "--quiet", "--detach", commit, within=tree)
    if (tree / ".gitmodules").is_file():
        _git("remote", "set-url", "origin", plan.repository, within=tree)  # modules may be named relative to it
        _git("submodule", "--quiet", "update", "--init", "--recursive", within=tree)
    if plan.patch:
        _git("apply", "--whitespace=nowarn", plan.patch, within=tree)
    folder = tree / plan.working_dir
    if not folder.is_dir():
        raise CheckoutError(f"script.working_dir: no folder {plan.working_dir!r} at {commit} of {plan.repository}")
    return folder


def enter(plan: CheckoutPlan, folder: Path) -> None:
    """Changes into the tree, and lets this process and those that it starts find modules there."""
    os.chdir(folder)
    roots = [str(folder), plan.tree, os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(filter(None, roots)))


def _fetched(plan: CheckoutPlan, mirror: Path) -> str:
    """The commit to run, fetched if it is not here yet; one process at a time."""
    mirror.parent.mkdir(parents=True, exist_ok=True)
    with mirror.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (mirror / "HEAD").is_file():
            _git("clone", "--quiet", "--mirror", plan.repository, str(mirror))
        wanted = plan.revision or (f"refs/heads/{plan.branch}" if plan.branch else "HEAD")
        commit = _commit(wanted, mirror)
        if commit is None:
            _git("fetch", "--quiet", "--prune", "origin", within=mirror)
            commit = _commit(wanted, mirror)
    if commit is None:
        key, found = ("version_num", plan.revision) if plan.revision else ("branch", plan.branch)
        raise CheckoutError(f"script.{key}: no {found!r} in {plan.repository}; is it pushed?")
    return commit


def _commit(name: str, mirror: Path) -> str | None:
    command = ["git", "rev-parse", "--quiet", "--verify", f"{name}^{{commit}}"]
    done = subprocess.run(command, cwd=mirror, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _git(*words: str, within: Path | None = None) -> None:
    try:
        done = subprocess.run(["git", *words], cwd=within, stderr=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        raise CheckoutError(f"git cannot be started: {error}") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise CheckoutError(f"git {words[0]}: {lines[-1] if lines else f'exit code {done.returncode}'}")


def main(argv: Sequence[str]) -> int:
    """Replaces this process by the program; returns an exit code only if that fails."""
    plan = CheckoutPlan.read(Path(argv[0]))
    try:
        folder = make_tree(plan)
    except CheckoutError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    enter(plan, folder)
    os.execv(sys.executable, [sys.executable, "-u", *arguments(plan.entry_point, folder)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
