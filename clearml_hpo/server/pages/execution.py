"""What a task runs: repository, script, changes, packages, container."""

from __future__ import annotations

from typing import Any

from clearml_hpo.server.pages.visit import Visit
from clearml_hpo.server.store.documents import Document

FIELDS = ("script", "container", "runtime")
_SCRIPT = {
    "repository": "repository",
    "branch": "branch",
    "version_num": "commit",
    "tag": "tag",
    "working_dir": "working directory",
    "entry_point": "script",
    "binary": "interpreter",
}


def fill(visit: Visit, task: Document) -> dict[str, Any]:
    """Facts and texts."""
    script = task["script"]
    requirements = script.get("requirements")
    return {
        "facts": [(title, script[name]) for name, title in _SCRIPT.items() if script.get(name)],
        "container": [(name, value) for name, value in task["container"].items() if value],
        "runtime": sorted((name, value) for name, value in task["runtime"].items() if value not in (None, "")),
        "diff": str(script.get("diff") or ""),
        "is_script": not script.get("repository"),
        "packages": list(requirements.items()) if isinstance(requirements, dict) else [],
    }
