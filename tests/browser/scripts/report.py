"""A script as people write them: reports every kind of plot and an image; prints where they are shown."""

import sys
from contextlib import suppress

with suppress(ImportError):  # or a thread of the SDK and pyplot import it at the same time, which fails
    import IPython  # noqa: F401

import numpy
from clearml import Task
from matplotlib import pyplot

Task.set_random_seed(None)
task = Task.init("contract/pages", "draws", reuse_last_task_id=False, auto_connect_frameworks=False)
task.connect({"lr": 0.1})
logger = task.get_logger()
numbers = numpy.arange(12.0).reshape(3, 4)
for i in range(20):
    logger.report_scalar("train", "loss", 1 / (i + 1), i)
logger.report_single_value("final", 3.25)
logger.report_histogram("histogram", "bars", numbers[0], iteration=0)
logger.report_confusion_matrix("confusion", "matrix", numbers, iteration=0)
logger.report_scatter2d("scatter", "points", [(0, 1), (1, 2)], iteration=1)
logger.report_scatter3d("scatter", "in space", [(0, 1, 2), (1, 2, 3)], iteration=1)
logger.report_surface("surface", "waves", numbers, iteration=0)
logger.report_line_plot("lines", [{"name": "a", "data": [(0, 1), (1, 2)]}], "x", "y", iteration=0)
logger.report_table("table", "cells", iteration=2, table_plot=[["a", "b"], [1, 2]])
pyplot.plot([1, 2, 3])
logger.report_matplotlib_figure("matplotlib", "lines", pyplot.gcf(), iteration=0)
pyplot.figure()
pyplot.imshow(numbers)
logger.report_matplotlib_figure("matplotlib", "picture", pyplot.gcf(), iteration=0, report_interactive=False)
logger.report_image("image", "noise", iteration=0, image=numpy.full((8, 8, 3), 120, dtype=numpy.uint8))
logger.report_text("a line of the console")
task.upload_artifact("object", {"answer": 42})
task.flush(wait_for_uploads=True)
task.close()
print(task.get_output_log_web_page(), file=sys.stderr)
