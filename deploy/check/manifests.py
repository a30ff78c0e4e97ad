"""Objects of Kubernetes, each by the schema of its kind. A key that a schema does not have is a fault."""

from __future__ import annotations

import functools
import importlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from deploy.check import Report, commands, tools

_VERSIONS = ("1.29", "1.37")
"""Of Kubernetes: the oldest and the newest that the files are checked for."""
_TRIGGER = {"url", "valueLocation", "targetValue", "activationTargetValue", "authMode", "unsafeSsl", "format"}
"""Settings of KEDA's metrics-api, of which its schema knows nothing."""

_STRATEGIES = {"default", "custom", "accurate", "eager"}
"""Of a ScaledJob's scaling; KEDA takes the default one for any other word."""

Manifest = dict[str, Any]


def check(folder: Path) -> Report:
    """Checks each object of each file, also of files that no kustomization applies."""
    found = {
        f"{path.relative_to(folder)}": list(yaml.safe_load_all(path.read_text()))
        for path in sorted((folder / "kubernetes").rglob("*.yaml"))
        if path.name != "kustomization.yaml"
    }
    return examine((name, manifest) for name, manifests in found.items() for manifest in manifests)


def examine(named: Iterable[tuple[str, Manifest]]) -> Report:
    """Checks objects, each with the name of where it comes from."""
    named = list(named)
    kinds = Counter(manifest.get("kind", "?") for _, manifest in named)
    faults = [f"{name}: {fault}" for name, manifest in named for fault in _faults(manifest)]
    keda = [(name, manifest) for name, manifest in named if _group(manifest) == "keda.sh"]
    faults += _keda_faults(keda)
    return Report(", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())), faults)


def _group(manifest: Manifest) -> str:
    return str(manifest.get("apiVersion", "")).partition("/")[0]


def _faults(manifest: Manifest) -> Iterator[str]:
    for container in _containers(manifest):
        words = [*container.get("command", ()), *container.get("args", ())]
        yield from (f"{manifest.get('kind')}: {fault}" for fault in commands.faults(words))
    group = _group(manifest)
    if group == "kubernetes.dask.org":
        yield from _by_dask(manifest)
    elif group == "keda.sh":
        yield from _of_scaled_job(manifest) if manifest.get("kind") == "ScaledJob" else ()
    else:
        yield from _by_kubernetes(manifest)


def _containers(value: Any) -> Iterator[Manifest]:
    """Each container of each pod in it, however deep."""
    if isinstance(value, list):
        for item in value:
            yield from _containers(item)
    elif isinstance(value, dict):
        yield from value.get("containers") or ()
        for item in value.values():
            yield from _containers(item)


def _by_kubernetes(manifest: Manifest) -> Iterator[str]:
    validator = _kubernetes()
    for version in _VERSIONS:
        try:
            validator.validate(manifest, version, strict=True)
        except (validator.ValidationError, validator.SchemaNotFoundError) as error:
            text = str(getattr(error, "message", error)).splitlines()[0]
            where = ".".join(map(str, getattr(error, "path", ())))
            yield f"{manifest.get('kind')} {where}: {text} (Kubernetes {version})"
            return
        except KeyError as error:
            yield f"an object without {error}"
            return


@functools.cache
def _kubernetes() -> Any:
    sys.path.append(str(tools.kubernetes_schemas()))
    return importlib.import_module("kubernetes_validate")


def _by_dask(manifest: Manifest) -> Iterator[str]:
    schema = _dask_schemas().get(manifest.get("kind", ""))
    if schema is None:
        yield f"there is no kind {manifest.get('kind')} of the Dask operator"
        return
    for error in jsonschema.Draft7Validator(schema).iter_errors(manifest):
        yield f"{manifest['kind']} {'.'.join(map(str, error.path))}: {error.message.splitlines()[0][:200]}"
    # The operator's schema is looser than that of the pods which it makes.
    for role in ("worker", "scheduler"):
        if spec := manifest.get("spec", {}).get(role, {}).get("spec"):
            yield from _by_kubernetes({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": role}, "spec": spec})


@functools.cache
def _dask_schemas() -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    crds = [yaml.load(path.read_text(), loader) for path in tools.dask_crds().glob("*.yaml")]
    return {crd["spec"]["names"]["kind"]: _strict_crd(crd) for crd in crds}


def _strict_crd(crd: Manifest) -> Manifest:
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"] = {"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}, **schema["properties"]}
    return _strict(schema)


def _strict(schema: Any) -> Any:
    """The schema with every key refused that it does not name."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    keeps = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not keeps:
        strict["additionalProperties"] = False
    return strict


def _of_scaled_job(manifest: Manifest) -> Iterator[str]:
    """What KEDA's schema leaves open: the job, and the settings of triggers."""
    spec = manifest.get("spec", {})
    yield from _by_kubernetes(
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}, "spec": spec.get("jobTargetRef", {})}
    )
    strategy = spec.get("scalingStrategy", {}).get("strategy", "default")
    if strategy not in _STRATEGIES:
        yield f"ScaledJob: there is no scaling strategy {strategy}"
    for trigger in spec.get("triggers", []):
        for key in sorted(trigger.get("metadata", {}).keys() - _TRIGGER):
            yield f"ScaledJob: trigger {trigger.get('type')} has no setting {key}"


_VALIDATE = """
import * as keda from "@kubernetes-models/keda/keda.sh/v1alpha1";
import {readFileSync} from "node:fs";
for (const [name, manifest] of JSON.parse(readFileSync(process.argv[2]))) {
    const {apiVersion, kind, ...rest} = manifest;
    if (!(kind in keda)) { console.log(`${name}: there is no kind ${kind} of KEDA`); continue; }
    try { new keda[kind](rest).validate(); } catch (error) { console.log(`${name}: ${kind}: ${error.message}`); }
}
"""


def _keda_faults(named: list[tuple[str, Manifest]]) -> Iterator[str]:
    """By KEDA's models: values by their validators, unknown keys by TypeScript, which refuses them in literals."""
    if not named:
        return
    node = tools.keda_types()
    with tempfile.TemporaryDirectory(dir=node) as temporary:
        folder = Path(temporary)
        (folder / "all.json").write_text(json.dumps(named))
        (folder / "validate.mjs").write_text(_VALIDATE)
        done = tools.run(["node", folder / "validate.mjs", folder / "all.json"])
        yield from done.stdout.splitlines()
        if done.returncode:
            yield f"node: {done.stderr.strip().splitlines()[-1]}"
        kinds = {manifest.get("kind") for _, manifest in named}
        imports = "".join(
            f'import {{I{kind}}} from "@kubernetes-models/keda/keda.sh/v1alpha1/{kind}";\n' for kind in sorted(kinds)
        )
        lines = [
            f"const v{index}: I{manifest['kind']} = {json.dumps(manifest)};"
            for index, (_, manifest) in enumerate(named)
        ]
        (folder / "all.ts").write_text(imports + "\n".join(lines) + "\n")
        options = ("--noEmit", "--strict", "--skipLibCheck", "--module", "commonjs", "--moduleResolution", "node10")
        done = tools.run(["node", node / "node_modules/typescript/bin/tsc", *options, folder / "all.ts"])
        for line in done.stdout.splitlines():
            if "error TS" in line:
                number = int(line.split("all.ts(")[1].partition(",")[0]) if "all.ts(" in line else 0
                name = named[number - 1 - len(kinds)][0] if number > len(kinds) else "KEDA"
                yield f"{name}: {line.partition(': ')[2][:200]}"
