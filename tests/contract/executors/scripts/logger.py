"""All that a logger reports."""

import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
from clearml import Task

task = Task.init("contract", "logger")
logger = task.get_logger()
for i in range(30):
    logger.report_scalar("train", "loss", 1 / (i + 1), i)
    logger.report_scalar("validation", "loss", 2 / (i + 1), i)
logger.report_single_value("final", 3.25)
logger.report_histogram("histogram", "bars", [1, 2, 3], iteration=0)
logger.report_scatter2d("scatter", "points", [(0, 1), (1, 2)], iteration=1)
logger.report_scatter3d("scatter", "in space", [(0, 1, 2), (1, 2, 3)], iteration=1)
logger.report_confusion_matrix("confusion", "matrix", [[1, 2], [3, 4]], iteration=2)
logger.report_surface("surface", "of it", [[1, 2], [3, 4]], iteration=2)
logger.report_line_plot("lines", [], "x", "y", iteration=2)
logger.report_table("table", "cells", iteration=2, table_plot=[["a", "b"], [1, 2]])
logger.report_plotly("plotly", "bars", go.Figure(go.Bar(x=[1, 2], y=[3, 4])), iteration=3)
image = np.zeros((8, 8, 3), dtype=np.uint8)
image[2:6, 2:6, 0] = 255
for i in range(3):
    logger.report_image("image", "square", i, image=image)
figure = plt.figure()
plt.plot([1, 2, 3], [1, 4, 9])
logger.report_matplotlib_figure("matplotlib", "curve", figure, iteration=4)
logger.report_matplotlib_figure("matplotlib", "picture", figure, iteration=4, report_image=True)
logger.report_text("> a line of the logger")
