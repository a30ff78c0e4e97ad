"""Job scripts for Slurm, PBS and HTCondor."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from click.testing import CliRunner

from clearml_hpo.cli import main
from clearml_hpo.core.errors import InputError
from clearml_hpo.deployment import htcondor, pbs, slurm
from clearml_hpo.deployment.batch import Jobs

KINDS = {"slurm": slurm, "pbs": pbs, "htcondor": htcondor}
ODD = 'it\'s; $(touch here) "now" `x`'
LEAVES = ["--idle-timeout", "600s", "--drain-timeout", "90s"]


def scripts(kind, jobs):
    return {name: text for name, text in KINDS[kind].render_files(jobs).items() if name.endswith(".sh")}


def command_of(text):
    """The words of a script's worker."""
    words = shlex.split(text.replace("\\\n", "").splitlines()[-1])
    return words[words.index("clearml-hpo") :]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("jobs", [Jobs("gpu"), Jobs(ODD, gpus=0, setup=["module load 'a b'"], directives=["-q 'x'"])])
def test_scripts_are_sound_for_the_shell(kind, jobs):
    for name, text in scripts(kind, jobs).items():
        done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), name
        assert max(map(len, text.splitlines())) <= 160


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("jobs", "slots"),
    [
        (Jobs("gpu"), ["--threads", "4"]),
        (Jobs("gpu", gpus=2, per_gpu=2, cores=16), ["--per-gpu", "2", "--threads", "4"]),
        (Jobs("gpu", gpus=8, cores=4), ["--threads", "1"]),
        (Jobs("cpu", gpus=0, cpu=3, cores=7), ["--cpu", "3", "--threads", "2"]),
        (Jobs(ODD, gpus=0), ["--cpu", "1", "--threads", "4"]),
    ],
)
def test_a_worker_shares_what_its_job_has(kind, jobs, slots):
    added = ["$@"] if kind == "slurm" else []
    wanted = ["clearml-hpo", "worker", "--queue", jobs.queue, *slots, *LEAVES, *added]
    assert command_of(scripts(kind, jobs)["worker.sh"]) == wanted


@pytest.mark.parametrize(
    ("kind", "there", "not_there"),
    [
        ("slurm", ["#SBATCH --gres=gpu:2", "#SBATCH --array=0-4", "#SBATCH --time=30:00:05"], "gres"),
        ("pbs", ["#PBS -l select=1:ncpus=4:mem=16384mb:ngpus=2", "#PBS -J 0-4", "#PBS -l walltime=30:00:05"], "ngpus"),
        ("htcondor", ["request_gpus = 2", "queue 5", "allowed_job_duration = 108005"], "request_gpus"),
    ],
)
def test_what_a_job_asks_for(kind, there, not_there):
    jobs = Jobs("gpu", gpus=2, jobs=5, walltime_s=30 * 3600 + 5)
    lines = "\n".join(KINDS[kind].render_files(jobs).values()).splitlines()
    assert set(there) <= set(lines)
    assert not_there not in "\n".join(KINDS[kind].render_files(Jobs("cpu", gpus=0)).values())


def test_one_job_of_pbs_is_no_array():
    assert "#PBS -J" not in pbs.render_files(Jobs("gpu", jobs=1))["worker.sh"]


def test_the_end_of_a_job_is_told_in_time():
    jobs = Jobs("gpu", walltime_s=3600, drain_s=600)
    assert "#SBATCH --signal=B:TERM@630\n" in slurm.render_files(jobs)["worker.sh"]
    for kind in (pbs, htcondor):
        assert "timeout --foreground --preserve-status --signal=TERM 2970 \\\n" in kind.render_files(jobs)["worker.sh"]
    with pytest.raises(InputError, match="--walltime"):
        Jobs("gpu", walltime_s=630, drain_s=600)


@pytest.mark.parametrize(("kind", "prefix"), [("slurm", "#SBATCH"), ("pbs", "#PBS")])
def test_directives_of_ones_own_come_before_all_commands(kind, prefix):
    jobs = Jobs("gpu", directives=["--partition=a100", "--account=me"], setup=["module load cuda", "source env"])
    for text in scripts(kind, jobs).values():
        lines = text.splitlines()
        commands = [n for n, line in enumerate(lines) if line and not line.startswith("#")]
        assert lines.index(f"{prefix} --account=me") < commands[0]
        assert [lines[n] for n in commands[:2]] == ["module load cuda", "source env"]


def test_directives_for_htcondor_are_in_its_description():
    texts = htcondor.render_files(Jobs("gpu", directives=["requirements = (CUDACapability >= 8)"], setup=["hostname"]))
    assert "\nrequirements = (CUDACapability >= 8)\nqueue 4\n" in texts["worker.sub"]
    assert "\nhostname\n" in texts["worker.sh"] and "requirements" not in texts["worker.sh"]


@pytest.mark.parametrize("options", [{"queue": "a\nb"}, {"setup": ["a\nb"]}, {"directives": ["\r"]}, {"setup": [" "]}])
def test_a_line_is_one_line(options):
    with pytest.raises(InputError, match="one line"):
        Jobs(**{"queue": "gpu", **options})


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_writes_what_is_asked_for(kind, tmp_path):
    words = ["--queue", "my queue", "--gpus", "0", "--memory", "1.5G", "--walltime", "90m", "--drain-timeout", "5m"]
    words += ["--idle-timeout", "30s", "--jobs", "7", "--cores", "2", "--cpu", "2", "--setup", "hostname"]
    command = ["deploy", kind, *words, "--output", str(tmp_path / "a b")]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    jobs = Jobs(
        "my queue", gpus=0, memory_mib=1536, walltime_s=5400, drain_s=300, idle_s=30, jobs=7, cores=2, cpu=2,
        setup=("hostname",),
    )  # fmt: skip
    texts = KINDS[kind].render_files(jobs)
    assert {path.name: path.read_text() for path in (tmp_path / "a b").iterdir()} == texts
    assert f"cd '{tmp_path}/a b'\n" in done.output and "--set execution.queue='my queue'\n" in done.output
    assert "unchanged  worker.sh" in CliRunner().invoke(main, command).output


@pytest.mark.parametrize(("kind", "system"), [(pbs, "PBS"), (htcondor, "HTCondor")])
def test_what_was_not_run_is_said_in_each_file(kind, system):
    assert all(f"No {system} has run this file" in text for text in kind.render_files(Jobs("gpu")).values())
