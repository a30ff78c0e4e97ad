"""``clearml-hpo convert``."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from clearml_hpo.cli.init import check_written
from clearml_hpo.core.errors import InputError
from clearml_hpo.core.units import counted


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--script", type=click.Path(path_type=Path), help="The training script; its names count.")
@click.option("--output", "-o", type=click.Path(path_type=Path), default=Path("study.yaml"), show_default=True)
@click.option("--force", is_flag=True, help="Overwrite the file.")
def convert(file: Path, script: Path | None, output: Path, force: bool) -> None:
    """Convert a sweep of W&B or a search space of Ray Tune into a study file.

    A sweep is a YAML file, or a Python file that calls wandb.sweep. A search space of Ray Tune is a dictionary in a
    Python file, which is not run. What has no counterpart is listed.

    \b
    Examples:
      clearml-hpo convert sweep.yaml
      clearml-hpo convert tune_model.py --script train.py --output study.yaml
    """
    from clearml_hpo.drafting.conversion import draft_of
    from clearml_hpo.drafting.draft import text_of
    from clearml_hpo.drafting.ray_tune import read_ray_tune
    from clearml_hpo.drafting.sweep import read_sweep, read_sweep_of_script

    if output.exists() and not force:
        raise InputError(f"{output} is there already: --output FILE writes another one, --force overwrites it")
    is_python = file.suffix == ".py"
    converted = (read_sweep_of_script(file) or read_ray_tune(file)) if is_python else read_sweep(file)
    converted.script = script or converted.script
    draft, renamed = draft_of(converted, output.parent, file)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text_of(draft), encoding="utf-8")
    for line in renamed:
        click.echo(line)
    for line in converted.left_out:
        click.echo(f"not converted: {line}", err=True)
    click.echo(f"wrote {output}: {counted(len(draft.ranges), 'parameter')}, {counted(draft.trials, 'trial')}")
    if before := [*draft.findings.before, *draft.notes]:
        raise InputError("\n".join(f"before the first run: {text}" for text in before))
    check_written(output)
    click.echo(f"next: clearml-hpo run {shlex.quote(os.fspath(output))} --local")
