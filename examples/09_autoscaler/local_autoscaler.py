"""ClearML's own ``AutoScaler``, with agents of this machine in place of a cloud's machines.

``AutoScaler`` looks how many tasks wait in a queue and how many agents are idle. It asks its driver to start agents, up
to a number, and to end those that have been idle for a while. ``LocalDriver`` does both with processes. A driver for
another place (``sbatch``, ``ssh``, a cloud) has the same two methods.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from clearml.automation.auto_scaler import AutoScaler, ScalerConfig
from clearml.automation.cloud_driver import CloudDriver

PREFIX = "autoscaled"
"""Begins the names of the agents; two scalers on one server need two."""
_END_S = 30


class LocalDriver(CloudDriver):
    """Starts and ends ``clearml-agent daemon`` processes.

    The base class's own settings are for the start-up script of a machine in a cloud, and are not used.
    """

    def __init__(self, folder: Path) -> None:
        """Agents keep the code of their tasks, and their logs, in a folder."""
        self.scaler = None
        self._folder = folder
        self._agents: dict[str, subprocess.Popen[bytes]] = {}
        self._started = 0

    def kind(self) -> str:
        """What the scaler's log calls it."""
        return "local"

    def spin_up_worker(self, resource: dict, worker_prefix: str, queue_name: str, task_id: str | None = None) -> str:
        """Starts an agent for a queue. Returns its id, with which its name among the workers ends."""
        self._started += 1
        agent = f"{os.getpid()}-{self._started}"
        own = self._folder / agent
        (own / "tmp").mkdir(parents=True)
        gpus = resource.get("gpus")
        environ = {
            **os.environ,
            "CLEARML_WORKER_ID": f"{worker_prefix}:{agent}",
            "CLEARML_AGENT_SKIP_PYTHON_ENV_INSTALL": "1",  # tasks run in this Python; leave it out for virtual ones
            "CLEARML_AGENT__AGENT__VENVS_DIR": str(own / "code"),  # agents that share it delete each other's code
            "TMPDIR": str(own / "tmp"),
        }
        devices = ["--gpus", gpus] if gpus else ["--cpu-only"]
        command = [sys.executable, "-m", "clearml_agent", "daemon", "--foreground", "--queue", queue_name, *devices]
        with (own / "log").open("wb") as log:
            self._agents[agent] = subprocess.Popen(
                command, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        return agent

    def spin_down_worker(self, instance_id: str) -> None:
        """Ends an agent, which the scaler has found idle; one that is gone already is no error."""
        agent = self._agents.pop(instance_id, None)
        if agent is not None:
            _end(agent)

    def close(self) -> None:
        """Ends all agents; a task that one runs is aborted."""
        for agent in list(self._agents):
            self.spin_down_worker(agent)

    def instance_id_command(self) -> str:
        """Only for start-up scripts of a cloud."""
        raise NotImplementedError

    def instance_type_key(self) -> str:
        """Only for the settings of a cloud."""
        raise NotImplementedError


def _end(agent: subprocess.Popen[bytes]) -> None:
    agent.terminate()
    try:
        agent.wait(_END_S)
    except subprocess.TimeoutExpired:
        os.killpg(agent.pid, signal.SIGKILL)
        agent.wait()


def main() -> None:
    """Scales until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--queue", required=True)
    parser.add_argument("--most", type=int, default=4, help="agents at once")
    parser.add_argument("--gpu", help="the GPU that these agents share, such as 0; without it they have none")
    parser.add_argument("--idle", type=int, default=1, help="minutes after which an idle agent ends")
    parser.add_argument("--period", type=float, default=5.0, help="seconds between two looks at the queue")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    config = ScalerConfig(
        max_idle_time_min=options.idle,
        polling_interval_time_min=options.period / 60,
        workers_prefix=PREFIX,
        resource_configurations={"local": {"instance_type": "process", "gpus": options.gpu}},
        queues={options.queue: [("local", options.most)]},
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="autoscaler-") as folder:
        driver = LocalDriver(Path(folder))
        try:
            AutoScaler(config, driver).start()
        except KeyboardInterrupt:
            print("ending all agents")
        finally:
            driver.close()


if __name__ == "__main__":
    main()
