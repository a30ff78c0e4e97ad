"""Several sections, nested names, an object and a configuration object."""

from clearml import Task

BASE = {"lr": 0.1, "model": {"alpha": 0.5, "units": 32}}


class Schedule:
    """Connected as an object: what it has itself counts."""

    def __init__(self):
        self.warmup = 0.05


task = Task.init("first minutes", "sections")
params = task.connect(dict(BASE))
optimizer = task.connect({"momentum": 0.9, "nesterov": False}, name="Optimizer")
schedule = Schedule()
task.connect(schedule, name="Schedule")
data = task.connect_configuration({"augment": {"flip": 0.5}}, name="Data")
logger = task.get_logger()
logger.report_scalar("train", "loss", params["lr"], 0)
loss = params["model"]["alpha"] + optimizer["momentum"] + schedule.warmup + data["augment"]["flip"]
logger.report_scalar("validation", "loss", loss, 0)
