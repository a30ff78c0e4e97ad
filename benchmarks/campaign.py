"""Trials per hour: a campaign of three models on three resources, and the same studies one after the other.

    make bench-campaign
    python -m benchmarks.campaign --time 20 --seconds 2

Trials wait, as if a GPU computed elsewhere, so that the cores of this machine are no limit. Three models, two data
sets, each study for the same time; ``xgb`` and ``lgbm`` may use gpu0 and gpu1, ``cat`` the cpu. The other sides run one
study at a time: on one resource, as a person does who gives each study a device, or on all that its model may use.
Templates are known to the server, and what counts is the time in which studies are driven, so that neither side pays
for starting.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.place import Place, make_template, run_timed, say, surroundings, temporary_place

MODELS: Mapping[str, Sequence[str]] = {"xgb": ("gpu0", "gpu1"), "lgbm": ("gpu0", "gpu1"), "cat": ("cpu",)}
DATASETS = ("one", "two")
SCRIPT = """\
import time
from clearml import Task
task = Task.init("benchmarks", "{model}", auto_connect_frameworks=False)
params = task.connect({{"x": 0.5, "depth": 4}})
time.sleep({seconds})
task.get_logger().report_scalar("validation", "loss", params["x"] ** 2, 4)
"""
SPACE = "{General/x: {type: float, low: 0.0, high: 1.0}, General/depth: {type: int, low: 2, high: 8}}"
SHARED = """\
objective: {{metric: validation/loss, direction: minimize}}
sampler: random
budget: {{time: {time}}}
"""
EXECUTION = "poll_interval: 1s, prefetch: 1"
TIMEOUT_S = 3600.0


def campaign_file(templates: Mapping[str, str], time_s: float) -> str:
    """The campaign, as YAML."""
    models = "".join(
        f"  {name}: {{template: {{task: {templates[name]}}}, search_space: {SPACE}, resources: {list(may_use)}}}\n"
        for name, may_use in MODELS.items()
    )
    resources = "".join(f"  {name}: {{threads: 1}}\n" for name in ("gpu0", "gpu1", "cpu"))
    datasets = "".join(f"  {name}: {{}}\n" for name in DATASETS)
    return (
        f"campaign: bench-campaign\nproject: benchmarks\nresources:\n{resources}models:\n{models}"
        f"datasets:\n{datasets}execution: {{{EXECUTION}}}\n{SHARED.format(time=time_s)}"
    )


def study_file(name: str, template: str, time_s: float) -> str:
    """A study by itself, as YAML."""
    return (
        f"study: {name}\nproject: benchmarks\ntemplate: {{task: {template}}}\nsearch_space: {SPACE}\n"
        f"execution: {{{EXECUTION}}}\n{SHARED.format(time=time_s)}"
    )


def measure_campaign(place: Place, templates: Mapping[str, str], time_s: float) -> dict[str, Any]:
    """Figures of the campaign."""
    path, out = place.folder / "campaign.yaml", place.folder / "campaign.json"
    path.write_text(campaign_file(templates, time_s))
    ran = call(["campaign", "run", str(path), "--output", str(out)], place.folder / "campaign.log")
    report = json.loads(out.read_text())
    return {
        **figures(report["trials"], report["driven_s"], ran),
        "busy": {use["name"]: round(use["busy_share"], 3) for use in report["resources"]},
        "misplaced": len(report["misplaced"]),
    }


def measure_one_by_one(
    place: Place, side: str, templates: Mapping[str, str], time_s: float, *, on_all: bool
) -> dict[str, Any]:
    """Figures of the studies one after the other."""
    trials, driven_s, cpu_s = 0, 0.0, 0.0
    for dataset in DATASETS:
        for model, may_use in MODELS.items():
            name = f"{side}-{dataset}-{model}"
            say(f"  {name}")
            path, out = place.folder / f"{name}.yaml", place.folder / f"{name}.json"
            path.write_text(study_file(name, templates[model], time_s))
            slots = len(may_use) if on_all else 1
            arguments = ["run", str(path), "--cpu", str(slots), "--threads", "1", "--output", str(out)]
            cpu_s += call(arguments, place.folder / f"{name}.log")
            result = json.loads(out.read_text())
            trials += sum(trial["state"] == "completed" for trial in result["trials"])
            driven_s += result["wall_s"]
    return figures(trials, driven_s, cpu_s)


def call(arguments: Sequence[str], log: Path) -> float:
    """Runs ``clearml-hpo``; its processor seconds."""
    ran = run_timed([sys.executable, "-m", "clearml_hpo", *arguments], log, TIMEOUT_S)
    if ran.code:
        raise RuntimeError(f"exit status {ran.code}: {log.read_text(errors='replace')[-3000:]}")
    return ran.cpu_s


def figures(trials: int, driven_s: float, cpu_s: float) -> dict[str, Any]:
    """What is said of a side."""
    return {
        "trials": trials,
        "driven_s": round(driven_s, 1),
        "trials_per_hour": round(trials / driven_s * 3600),
        "controller_cpu_s": round(cpu_s, 1),
    }


def run(time_s: float, seconds: float) -> dict[str, Any]:
    """The whole benchmark."""
    result: dict[str, Any] = {
        "benchmark": "campaign",
        "time_of_each_study_s": time_s,
        "seconds_of_a_trial": seconds,
        **surroundings(),
    }
    with temporary_place() as place:
        from clearml_hpo.backend.api import Api

        api, templates = Api(), {}
        for model in MODELS:
            script = place.folder / f"{model}.py"
            script.write_text(SCRIPT.format(model=model, seconds=seconds))
            templates[model] = make_template(api, script)
        say("the campaign ...")
        together = measure_campaign(place, templates, time_s)
        result["campaign"] = together
        for side, on_all in (("one_resource", False), ("all_its_resources", True)):
            say(f"one study after the other, on {side.replace('_', ' ')} ...")
            alone = measure_one_by_one(place, side.replace("_", "-"), templates, time_s, on_all=on_all)
            times = together["trials_per_hour"] / alone["trials_per_hour"]
            result[f"one_by_one_on_{side}"] = {**alone, "campaign_has_times_the_trials": round(times, 2)}
    return result


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Trials per hour of a campaign and of its studies alone, as JSON.")
    parser.add_argument("--time", type=float, default=45.0, help="seconds of each study")
    parser.add_argument("--seconds", type=float, default=4.0, help="that a trial waits")
    given = parser.parse_args()
    print(json.dumps(run(given.time, given.seconds), indent=2))


if __name__ == "__main__":
    main()
