"""Reports by tags, as TensorBoard's writers do, and a single value at the end."""

from clearml import Task


class SummaryWriter:
    """Stands in for TensorBoard's, which ClearML's SDK hears; its tags become scalars in the same way."""

    def add_scalar(self, tag, value, step):
        """Reports ``title/series``."""
        title, _, series = tag.rpartition("/")
        Task.current_task().get_logger().report_scalar(title or tag, series, value, step)


task = Task.init("first minutes", "tensorboard")
params = task.connect({"learning_rate": 0.1, "dropout": 0.2})
writer = SummaryWriter()
for step in range(3):
    loss = (params["learning_rate"] - 0.3) ** 2 + params["dropout"] + 1 / (step + 1)
    writer.add_scalar("loss/train", loss, step)
    writer.add_scalar("loss/val", loss + 0.1, step)
task.get_logger().report_single_value("best", loss)
