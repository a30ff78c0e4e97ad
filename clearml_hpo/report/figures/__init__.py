"""Plotly figures of a study, as the JSON that ClearML stores.

Each function returns the JSON text of one figure, or nothing if there is nothing to show. Plotly itself is not needed:
a figure is plain data.

plot.py        what the figures share: colours, axes, thinning
history.py     values by trial, intermediate values, hypervolume
parameters.py  axes of parallel coordinates, slices, importances
lines.py       parallel coordinates as ordinary lines
comparison.py  models, or studies, beside one another
pairs.py       two parameters at a time, and how values are distributed
front.py       the Pareto front
timeline.py    which worker ran what, and when; of one study or several
tables.py      all trials with links, what is left of the budgets
"""

from clearml_hpo.core.ranking import ranking
from clearml_hpo.report.figures.comparison import by_model, comparison_figure, model_parameter
from clearml_hpo.report.figures.front import front_figure
from clearml_hpo.report.figures.history import curves_figure, history_figure, hypervolume_figure, intermediate_figure
from clearml_hpo.report.figures.lines import parallel_lines_figure
from clearml_hpo.report.figures.pairs import contour_figure, edf_figure, rank_figure
from clearml_hpo.report.figures.parameters import importance_figure, slice_figure
from clearml_hpo.report.figures.tables import budget_figure, table_figure
from clearml_hpo.report.figures.timeline import timeline_figure, usage_figure

__all__ = [
    "budget_figure",
    "by_model",
    "comparison_figure",
    "contour_figure",
    "curves_figure",
    "edf_figure",
    "front_figure",
    "history_figure",
    "hypervolume_figure",
    "importance_figure",
    "intermediate_figure",
    "model_parameter",
    "parallel_lines_figure",
    "rank_figure",
    "ranking",
    "slice_figure",
    "table_figure",
    "timeline_figure",
    "usage_figure",
]
