"""As much of kubectl as ClearML's agent calls: a pod is a process of this machine.

It runs the command of its first container, with the variables that the pod names, and PATH. PODS/<name>.json says what
the pod is, and as what process it runs; its home is PODS/<name>/.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import yaml

PODS = Path(__file__).resolve().parent.parent / "pods"


def phase(pod: dict) -> str:
    """``Running`` or ``Succeeded``."""
    try:
        process = psutil.Process(pod["pid"])
        runs = process.create_time() == pod["created"] and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        runs = False
    return "Running" if runs else "Succeeded"


def apply(file: str) -> None:
    """Starts the pod of a file."""
    manifest = yaml.safe_load(Path(file).read_text())
    name, (container, *_) = manifest["metadata"]["name"], manifest["spec"]["containers"]
    home = PODS / name
    home.mkdir(parents=True)
    environ = {"PATH": os.environ["PATH"], "HOME": str(home)}
    environ.update({entry["name"]: entry["value"] for entry in container.get("env", [])})
    with (home / "log").open("w") as log:
        command = [*container["command"], *container["args"]]
        pod = subprocess.Popen(command, cwd=home, env=environ, stdout=log, stderr=log, start_new_session=True)
    known = {"manifest": manifest, "pid": pod.pid, "created": psutil.Process(pod.pid).create_time()}
    (PODS / f"{name}.json").write_text(json.dumps(known))
    print(f"pod/{name} created")


def pods(words: list[str]) -> dict[str, dict]:
    """Those that a command's field selectors leave, by name; all have the one agent's label."""
    selectors = " ".join(words)
    found = {path.stem: json.loads(path.read_text()) for path in PODS.glob("*.json")}
    found = {name: pod for name, pod in found.items() if f"status.phase!={phase(pod)}" not in selectors}
    if "status.phase=Pending" in selectors:  # a process starts at once
        return {}
    return {name: pod for name, pod in found.items() if "metadata.name=" not in selectors or name in selectors}


def get(words: list[str]) -> None:
    """Lists pods, as JSON or as names with namespaces and queues."""
    if any(word.startswith("jsonpath=") for word in words):
        for name, pod in pods(words).items():
            print(name, "clearml", pod["manifest"]["metadata"]["labels"]["clearml-agent-queue"])
    else:
        print(json.dumps({"items": [pod["manifest"] for pod in pods(words).values()]}))


def delete(words: list[str]) -> None:
    """Forgets pods that have ended."""
    for name in pods(words):
        (PODS / f"{name}.json").unlink()
        print(f"pod/{name}")


command, *rest = sys.argv[1:]
if command == "apply":
    apply(rest[-1])
elif [command, rest[0]] == ["get", "pods"]:
    get(rest)
elif [command, rest[0]] == ["delete", "pod"]:
    delete(rest)
else:
    sys.exit(f"not known here: kubectl {' '.join(sys.argv[1:])}")
