"""Every command of the README and of the examples is run; those that other tests run are named here."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.agent, pytest.mark.embedded, pytest.mark.long]

ROOT = Path(__file__).resolve().parents[2]
DOCS = ["README.md", "docs/README.md", "docs/get_started.md", "docs/your_script.md", "docs/server_and_gpus.md"]
DOCS += [
    "docs/server.md",
    "docs/campaigns.md",
    "docs/testing.md",
    "docs/kubernetes.md",
    "docs/scale.md",
    "docs/notifications.md",
    "docs/gateway.md",
    "agents/README.md",
]
DOCS += sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("examples/*/README.md"))
CAMPAIGN = "examples/03_campaign/campaign.yaml"
STUDY = "examples/01_catboost_breast_cancer/study.yaml"

_ORDERS = "tests/integration/cli/test_study_command.py and tests/integration/controller/test_orders.py"
# command → the test that runs it
ELSEWHERE = {
    "make demo": "test_example.py runs what it calls, as is held below",
    "make test": "this suite",
    "make test-all": "this suite",
    "make test-long": "this suite",
    "make test-long LONG_S=1800": "this suite",
    "make test JOBS=8": "this suite",
    "make test-all JOBS=2": "this suite",
    "make test-server": "tests/integration/test_place.py runs what it calls",
    "CLEARML_HPO_TEST_SERVER=1 .venv/bin/python -m pytest tests/e2e/test_flows.py": "the same",
    "make chaos": "more of tests/chaos",
    "make fuzz": "more of tests/contract/server/test_fuzz.py",
    "make check": "looks at these files",
    "make check-deploy": "tests/integration/deployment/test_check_deploy.py makes each of its checks",
    "clearml-hpo deploy kubernetes": "tests/unit/deployment/test_kubernetes.py",
    "clearml-hpo deploy kubernetes --queue gpu --gpus 1 --drain-timeout 4h --output cluster/": "the same",
    "clearml-hpo deploy kubernetes --queue gpu --workers deployment --api-host "
    "http://clearml-hpo-server.clearml-hpo.svc:8008 --output cluster/": "the same",
    "make install": "nothing here would run without it",
    "source .venv/bin/activate": "the shell's",
    f"clearml-hpo run {STUDY} --local": "test_example.py",
    'eval "$(clearml-hpo server env)"': "test_clearml_script.py reads the exports",
    "python templates/catboost_train.py": "test_clearml_script.py",
    "python examples/02_clearml_script/optimize.py TEMPLATE_TASK_ID": "test_clearml_script.py",
    "clearml-hpo run study.yaml --set execution.queue=gpu": "--set is run below",
    "clearml-agent daemon --queue gpu --gpus 0": "ClearML's own",
    f"clearml-hpo run {STUDY} --local --set study=short --set budget.trials=5 --output out.json": "below, so",
    f"clearml-hpo run {STUDY} --local --set budget.trials=5 --output out.json": "below, with fewer trials",
    "clearml-hpo agents up --queue services --cpu 1": "below, for another queue",
    "clearml-hpo run study.yaml --gpus 0,1 --per-gpu 2": "needs GPUs; --cpu is run below",
    "clearml-hpo worker --queue quick --cpu 4 --threads 2": "test_worker_command.py",
    "clearml-hpo run study.yaml --set execution.queue=gpu --set execution.pilots=4": "test_pilots.py",
    "clearml-hpo worker --queue quick --as-task gpu --count 4": "test_worker_command.py",
    "clearml-agent execute": "ClearML's own; test_worker_command.py",
    "clearml-hpo server start --webapp DIR": "tests/contract/server/test_webapp.py",
    "clearml-hpo launch study.yaml --queue services": "test_launch_command.py",
    f"clearml-hpo campaign run {CAMPAIGN} --local": "test_campaign.py",
    "clearml-hpo campaign status three-models --local": "test_campaign.py",
    "clearml-hpo campaign report three-models --local": "test_campaign.py",
    "clearml-hpo campaign report three-models --local --output report": "test_campaign.py",
    "clearml-hpo campaign resume three-models --local": "test_campaign.py",
    "clearml-hpo campaign run campaign.yaml": "test_campaign.py, with --local",
    "clearml-hpo campaign resume tabular-eight": "tests/integration/campaign",
    "clearml-hpo campaign status tabular-eight": "tests/integration/campaign",
    "clearml-hpo campaign report tabular-eight --output report": "tests/integration/campaign",
    "clearml-hpo check campaign.yaml": "tests/integration/campaign",
    "clearml-hpo campaign stop ID": "tests/integration/campaign",
    "clearml-hpo campaign list": "tests/integration/campaign",
    "clearml-hpo watch tabular-eight": "tests/integration/campaign",
    "clearml-hpo watch three-models --local": "tests/integration/campaign",
    "clearml-hpo server run": "what `server start` runs",
    "clearml-hpo server start --data ./elsewhere": "tests/contract/server/test_backup.py",
    "clearml-hpo run examples/05_own_script/study.yaml --local": "test_other_examples.py, as all of these",
    "clearml-hpo check examples/05_own_script/study.yaml": "as that of the first example",
    "python examples/05_own_script/train.py --lr 0.01 --hidden 32": "the trials run it",
    "clearml-hpo run examples/06_multi_objective/study.yaml --local": "test_other_examples.py",
    "clearml-hpo study best small-and-good": "test_other_examples.py",
    "clearml-hpo agents up --queue services --cpu 1 --name services": "test_other_examples.py",
    "clearml-hpo launch examples/05_own_script/study.yaml --queue services": "test_other_examples.py",
    "python examples/07_launch_by_clone/launch_copy.py CONTROLLER_TASK_ID budget.trials=4": "test_other_examples.py",
    "clearml-agent daemon --services-mode": "ClearML's own",
    "clearml-hpo study stop": "tests/integration/cli",
    "clearml-hpo study try catboost-breast-cancer learning_rate=0.05 depth=6": _ORDERS,
    "clearml-hpo study prune catboost-breast-cancer 12 14": _ORDERS,
    "clearml-hpo study abort catboost-breast-cancer 13": _ORDERS,
    "clearml-hpo study extend catboost-breast-cancer --trials 100 --time 4h": _ORDERS,
    "clearml-hpo study narrow catboost-breast-cancer learning_rate --low 0.01": _ORDERS,
    "clearml-hpo study retry catboost-breast-cancer 7": _ORDERS,
    "clearml-hpo study stop catboost-breast-cancer --drain": _ORDERS,
    "clearml-hpo COMMAND --help": "tests/unit/cli/test_cli.py",
    "clearml-hpo resume ID": "tests/integration/controller/test_resume.py",
    f"clearml-hpo run {STUDY} --local --set sampler=random --set pruner=none": "below, with fewer trials",
}

_PYTHON = "test_python.py"
ELSEWHERE |= {
    "python examples/11_python/tune_script.py": _PYTHON,
    "python examples/11_python/tune_function.py": _PYTHON,
    "python examples/12_optuna_script/digits.py": _PYTHON,
}

_TOKENS = "tests/integration/gateway/test_token_command.py"
_USERS = "tests/integration/gateway/test_user_command.py"
_WIRE = "tests/contract/gateway/test_hopaas_wire.py sends the same"
ELSEWHERE |= {
    "pip install 'clearml-hpo[gateway]'": "the tests have it",
    'clearml-hpo gateway token new "batch jobs" --kind hopaas --valid 60d': _TOKENS,
    "clearml-hpo gateway token list": _TOKENS,
    "clearml-hpo gateway token rotate ID --overlap 2d": _TOKENS,
    "clearml-hpo gateway token revoke ID": _TOKENS,
    "clearml-hpo gateway user list": _USERS,
    "clearml-hpo gateway user role ann member --project clearml-hpo-outside": _USERS,
    "clearml-hpo gateway user disable ann": _USERS,
    "clearml-hpo gateway user enable ann": _USERS,
    "clearml-hpo gateway run": "test_gateway.py",
    **dict.fromkeys(
        ("clearml-hpo gateway start", "clearml-hpo gateway status", "clearml-hpo gateway stop"),
        "test_gateway_background.py, on another port",
    ),
    "clearml-hpo gateway login-link --url https://hpo.example.org": "tests/integration/gateway/test_login.py",
    "clearml-hpo gateway migrate --grant gateway": "tests/integration/gateway/test_database.py",
    "clearml-hpo gateway install --server-name hpo.example.org --output gateway/": (
        "tests/integration/gateway/test_install.py"
    ),
    "export CLEARML_HPO_GATEWAY_DATABASE=postgresql://gateway:password@db.example.org/hpo": _TOKENS,
    'curl "$URL/ask/$TOKEN" -d \'{"lr": "optuna': _WIRE,
    'curl "$URL/should_prune/$TOKEN" -d \'{"hopaas_trial": "ID", "step": 0, "loss": 0.7}\'': _WIRE,
    'curl "$URL/tell/$TOKEN" -d \'{"hopaas_trial": "ID", "loss": 0.5}\'': _WIRE,
    'curl "$URL/mark_as_failed/$TOKEN" -d \'{"hopaas_trial": "ID", "error": "out of memory"}\'': _WIRE,
    'curl "$URL/get_best_trial/$TOKEN?hopaas_trial=ID"': _WIRE,
}

_EXAMPLE = "test_gateway_example.py, on another port"
_API = "tests/integration/gateway/test_v1.py runs these lines"
_DOCS_OF_GATEWAY = (ROOT / "docs/gateway.md").read_text().splitlines()
ELSEWHERE |= {
    "clearml-hpo gateway run": _EXAMPLE,
    "clearml-hpo gateway run --hopaas": "test_gateway.py",
    "export CLEARML_HPO_TOKEN=gwt_...": _EXAMPLE,
    "python examples/13_gateway/worker.py http://127.0.0.1:8123": _EXAMPLE,
    "python examples/13_gateway/worker.py http://127.0.0.1:8123 sgd-shared": _EXAMPLE,
    "clearml-hpo gateway study add examples/13_gateway/study.yaml": _EXAMPLE,
    "clearml-hpo worker --queue default --cpu 1": _EXAMPLE,
    "clearml-hpo gateway study add study.yaml": "test_gateway.py",
    "clearml-hpo gateway study list": "tests/integration/gateway/test_study_command.py",
    "clearml-hpo run study.yaml --gateway": "test_run_gateway.py",
    "clearml-hpo study show sgd-over-http": "as that of the first example",
    "API=https://hpo.example.org/api/v1": _API,
    **{line.strip(): _API for line in _DOCS_OF_GATEWAY if line.startswith(("(umask", "curl -H @headers"))},
    **dict.fromkeys(
        (
            "clearml-hpo gateway backup monday.sqlite3",
            "clearml-hpo gateway restore monday.sqlite3 --force",
            "pg_dump --format custom --schema clearml_hpo_gateway --file gateway.dump hpo",
            "pg_restore --clean --if-exists --dbname hpo gateway.dump",
        ),
        "tests/integration/gateway/test_backup.py",
    ),
    "pip install --upgrade 'clearml-hpo[gateway]'": "pip's own",
    "sudo systemctl restart clearml-hpo-gateway": "wants a running systemd",
}

_THEIRS = "the reader's own server"
ELSEWHERE |= {
    "export CLEARML_API_HOST=https://api.clearml.example.org": _THEIRS,
    "export CLEARML_WEB_HOST=https://app.clearml.example.org": _THEIRS,
    "export CLEARML_FILES_HOST=https://files.clearml.example.org": _THEIRS,
    "export CLEARML_API_ACCESS_KEY=...": _THEIRS,
    "export CLEARML_API_SECRET_KEY=...": _THEIRS,
}

_DASK = "tests/e2e/test_dask.py and tests/integration/dask, on other ports"
ELSEWHERE |= {
    "clearml-hpo run examples/08_dask/study.yaml --local --dask-cluster local": _DASK,
    "clearml-hpo run examples/08_dask/study.yaml --dask tcp://127.0.0.1:8786": _DASK,
    "clearml-hpo resume digits-on-dask": _DASK,
    "dask scheduler --port 8786": _DASK,
    "clearml-hpo dask worker tcp://127.0.0.1:8786 --cpu 2": _DASK,
    "clearml-hpo dask worker tcp://node-1:8786 --gpus 0,1": _DASK,
    "clearml-hpo dask worker": _DASK,
    "clearml-hpo dask status tcp://node-1:8786": _DASK,
    "clearml-hpo run study.yaml --dask tcp://node-1:8786": _DASK,
    "dask worker": "Dask's own, and in tests/integration/dask",
    "clearml-hpo worker": "test_worker_command.py",
    "clearml-hpo worker --queue Q": "test_worker_command.py",
    "clearml-hpo resume": "test_flows.py",
    "pip install 'clearml-hpo[dask]'": "what `make install` does",
}

_AUTOSCALER = "tests/e2e/test_autoscaler.py"
ELSEWHERE |= {
    "python examples/09_autoscaler/local_autoscaler.py --queue autoscaled --most 4 &": _AUTOSCALER,
    "clearml-hpo run examples/09_autoscaler/study.yaml": _AUTOSCALER,
    "clearml-hpo agents up --queue services --cpu 2": "tests/e2e/test_services_agent.py",
    "clearml-hpo agents install --services 2": "tests/integration/fleet/test_install_command.py",
}

_INSTALL = "tests/integration/fleet/test_install_command.py runs those of agents/README.md"
_AGENTS = "tests/integration/fleet/test_agents_command.py, with other names and numbers"
_SYSTEMD = "wants a running systemd; the units are checked in test_install_command.py"
_CLUSTER = "wants a cluster; `make check-deploy` builds what it applies"
_ON_A_CLUSTER = re.compile(r"^((?:kubectl|helm|docker build) .*?)(?: +#.*)?$", re.MULTILINE)
ELSEWHERE |= dict.fromkeys(_ON_A_CLUSTER.findall((ROOT / "docs/kubernetes.md").read_text()), _CLUSTER)
_DOCKER = "wants Docker; the compose file is checked in test_install_command.py"
ELSEWHERE |= {
    "clearml-hpo agents install --queue gpu --dry-run": _INSTALL,
    "clearml-hpo agents install --queue gpu": _INSTALL,
    "clearml-hpo agents install --queue gpu --cpu 4 --services": _INSTALL,
    "clearml-hpo agents install --queue gpu --gpus 0,1 --per-gpu 2": _INSTALL,
    "clearml-hpo agents install --queue gpu --warm": _INSTALL,
    "clearml-hpo agents install --queue gpu --drain-timeout 2h": _INSTALL,
    "clearml-hpo agents install --queue gpu --format compose": _INSTALL,
    'sudo ~/hpo/bin/clearml-hpo agents install --system --run-as "$USER"': _INSTALL,
    "clearml-hpo agents uninstall": _INSTALL,
    "systemctl --user daemon-reload": _SYSTEMD,
    "systemctl --user enable --now clearml-hpo.target": _SYSTEMD,
    "systemctl --user list-dependencies clearml-hpo.target": _SYSTEMD,
    "systemctl --user stop clearml-hpo-gpu@0": _SYSTEMD,
    "systemctl --user edit clearml-hpo-gpu@": _SYSTEMD,
    "journalctl --user -u clearml-hpo-gpu@0 -f": _SYSTEMD,
    'sudo loginctl enable-linger "$USER"': _SYSTEMD,
    "docker compose -f clearml-hpo-agents/compose.yaml up -d --build --remove-orphans": _DOCKER,
    "docker compose -f clearml-hpo-agents/compose.yaml down": _DOCKER,
    "clearml-hpo agents": "a group of commands",
    "clearml-hpo agents up --queue gpu": _AGENTS,
    "clearml-hpo agents up --queue gpu --gpus 0,0": "tests/unit/fleet/test_slots.py plans two agents on one GPU",
    "clearml-hpo agents up --queue cpu --cpu 4 --name cpu": _AGENTS,
    "clearml-hpo agents run --queue gpu --gpus 0,1": _AGENTS,
    "clearml-hpo agents run --queue gpu --gpus 0": "what a unit runs: tests/unit/fleet/test_install.py",
    "clearml-hpo agents run --queue cpu --cpu 4": "what a unit runs: test_install_command.py runs it",
    "clearml-hpo agents run --queue services --cpu 2": "what a unit runs: tests/unit/fleet/test_install.py",
    "clearml-hpo agents logs": _AGENTS,
    "clearml-hpo agents logs gpu0 -f": "as without -f, and never ends",
    "clearml-hpo agents logs gpu0 --name unit-gpu0 -f": "as without -f, and never ends",
    "clearml-hpo agents status --name unit-gpu0": _AGENTS,
    "clearml-hpo launch": "test_launch_command.py",
    "clearml-hpo init train.py": "tests/integration/cli/test_init_command.py",
    "clearml-hpo convert sweep.yaml": "tests/unit/drafting/test_conversion.py",
    "clearml-hpo convert tune_model.py --script train.py": "tests/unit/drafting/test_conversion.py",
    "clearml-hpo open catboost-breast-cancer": "test_trial_command.py",
    "echo 'eval \"$(clearml-hpo completion bash)\"' >> ~/.bashrc": "test_trial_command.py",
    "clearml-hpo completion fish > ~/.config/fish/completions/clearml-hpo.fish": "test_trial_command.py",
    "clearml-hpo worker --queue QUEUE": "test_worker_command.py",
    "clearml-hpo dashboard": "tests/integration/dashboard, tests/browser/test_dashboard.py",
    "clearml-hpo dashboard --open": "the same, without a browser",
    "make bench-gateway": "three minutes; tests/integration/benchmarks tries it",
    "make bench-dashboard": "two minutes; tests/integration/benchmarks tries its siblings",
    "clearml-agent daemon": "ClearML's own",
    "clearml-agent daemon --foreground --create-queue --queue gpu --gpus 0": "ClearML's own, run by every agent here",
    "make bench-scale": "ten minutes; tests/integration/benchmarks tries its siblings",
    "make bench-trial": "minutes of clones one by one; tests/integration/benchmarks tries its siblings",
    "python3 -m venv ~/hpo && . ~/hpo/bin/activate": "Python's own",
    "pip install 'clearml-hpo[catboost]'": "what `make install` does",
    "clearml-hpo notify test study.yaml": "tests/integration/notify/test_commands.py",
    "export SLACK_URL=https://hooks.slack.com/services/...": "the reader's own",
    "cp agents/clearml.conf ~/clearml.conf": "tests/integration/fleet/test_clearml_conf.py",
    "chmod 600 ~/clearml.conf": "the shell's",
}

SEVERAL = "examples/04_several_models/study.yaml"
ELSEWHERE |= {
    f"clearml-hpo run {SEVERAL} --local": "test_several_models.py, with fewer trials",
    f"clearml-hpo check {SEVERAL}": "test_several_models.py",
    f"clearml-hpo run {SEVERAL} --local --set study=one-model --set search_space.model=lightgbm": "the same",
    f"clearml-hpo run {SEVERAL} --local --set study=larger --set budget.trials=40 --set search_space.iterations=500": (
        "test_several_models.py, with fewer trials and iterations"
    ),
}

_OWN = "test_own_executor.py, installed without pip"
ELSEWHERE |= {
    "pip install ./examples/10_own_executor": _OWN,
    "clearml-hpo check examples/10_own_executor/study.yaml": _OWN,
    "clearml-hpo run examples/10_own_executor/study.yaml": _OWN,
}

_FIDELITY = "test_fidelity.py, with shorter trainings"
FIDELITY = "examples/14_fidelity/study.yaml"
ELSEWHERE |= {
    f"clearml-hpo run {FIDELITY} --local": _FIDELITY,
    f"clearml-hpo run {FIDELITY} --local --set fidelity.mode=hyperband": _FIDELITY,
    f"clearml-hpo run {FIDELITY} --local --set budget.trials=54": _FIDELITY,
    f"clearml-hpo check {FIDELITY}": _FIDELITY,
    "clearml-hpo study show xgboost-digits-fidelity": _FIDELITY,
    "python examples/15_population/population.py": _FIDELITY,
}
# in the order in which a person would run them
HERE = [
    "clearml-hpo server start",
    "clearml-hpo server status",
    "clearml-hpo server env --conf",
    f"clearml-hpo check {STUDY}",
    "clearml-hpo agents up --queue gpu --gpus 0,1",  # an agent starts without a GPU; what it runs would not see one
    "clearml-hpo agents status",
    "clearml-hpo agents logs gpu0",
    "clearml-hpo agents down",
    "clearml-hpo agents up --queue default --cpu 2",
    "clearml-hpo agents down --now",
    "clearml-hpo server keys add ci",
    "clearml-hpo server keys list",
    "clearml-hpo server keys revoke ci",
    "clearml-hpo server backup monday.tar",
    "clearml-hpo server stop",
    "clearml-hpo server restore monday.tar --data ./monday",
    "clearml-hpo server backup tuesday.tar --files",
    "clearml-hpo server restore tuesday.tar --data ./elsewhere",
    f"clearml-hpo run {STUDY} --local --cpu 1 --threads 1 --new --set study=processes --set budget.trials=2",
    f"clearml-hpo run {STUDY} --local --set budget.trials=3 --output OUT --set sampler=random --set pruner=none",
    f"clearml-hpo run {STUDY} --local --set budget.trials=25",
    "clearml-hpo resume catboost-breast-cancer --local --set budget.trials=26",
    "clearml-hpo watch catboost-breast-cancer --local",
    "clearml-hpo study list",
    "clearml-hpo study show catboost-breast-cancer",
    "clearml-hpo study trials catboost-breast-cancer --sort value --top 5",
    "clearml-hpo study best catboost-breast-cancer",
    "clearml-hpo trial show catboost-breast-cancer 3",
    "clearml-hpo trial logs catboost-breast-cancer 3",
    "clearml-hpo study trials catboost-breast-cancer --output trials.csv",
    "clearml-hpo study keep catboost-breast-cancer --top 5 --dry-run",
    "clearml-hpo study report catboost-breast-cancer --output report",
]
# fewer trials, and files where they belong
INSTEAD = {
    "--output report": "--output REPORT",
    "budget.trials=25": "budget.trials=4",
    "budget.trials=26": "budget.trials=5",
}
FILES = ("out.json", "trials.csv", "monday.tar", "./monday", "tuesday.tar", "./elsewhere", "REPORT")


def commands(path: str) -> set[str]:
    text = (ROOT / path).read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"^    (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    lines += re.findall(r"`((?:clearml-hpo|clearml-agent|make|source) [^`]*)`", text)
    return {line.partition("#")[0].strip() for line in lines} - {""}


@pytest.mark.parametrize("path", DOCS)
def test_every_command_is_accounted_for(path):
    unknown = commands(path) - set(ELSEWHERE) - set(HERE)
    assert unknown == set()


def test_the_commands_work(machine, tmp_path):
    for command in HERE:
        places = {name: f"{tmp_path}/{name}" for name in FILES}
        for found, instead in {**INSTEAD, "OUT": "out.json", **places}.items():
            command = command.replace(found, instead)
        arguments = command.split()
        assert arguments.pop(0) == "clearml-hpo"
        code, output = machine.run(*arguments)
        assert code == 0, f"{command}\n{output}"
    assert (tmp_path / "out.json").is_file()
    assert (tmp_path / "REPORT" / "summary.html").is_file()
    assert len((tmp_path / "trials.csv").read_text().splitlines()) == 6


def test_make_demo_is_the_example(machine):
    code, output = machine.run("--dry-run", "demo", command=["make", f"VENV={Path(sys.prefix)}"])
    assert code == 0, output
    assert f"clearml-hpo run {STUDY} --local --cpu 2" in output


def test_make_demo_installs_nothing_that_only_tests_need(machine, tmp_path):
    code, output = machine.run("--dry-run", "demo", command=["make", f"VENV={tmp_path / 'none'}"])
    assert code == 0, output
    assert "'.[catboost]'" in output and "dev" not in output
