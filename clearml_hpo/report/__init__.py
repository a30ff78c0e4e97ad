"""What a study leaves behind: a result as JSON, and plots, table and best parameters on its controller task.

result.py       the result of a run as plain data
figures/        Plotly figures of a study
hypervolume.py  of a Pareto front, trial by trial
best.py         the best parameters as YAML
publisher.py    puts them on the controller task, with few calls
summary.py      what is to be said of a study at its end
page.py         one or several summaries as an HTML file that needs nothing else
text.py         the same as plain text
"""

from clearml_hpo.report.best import best_yaml
from clearml_hpo.report.page import summary_page
from clearml_hpo.report.publisher import Publisher, trials_with_curves
from clearml_hpo.report.result import study_result
from clearml_hpo.report.summary import StudySummary
from clearml_hpo.report.text import summary_text

__all__ = [
    "Publisher",
    "StudySummary",
    "best_yaml",
    "study_result",
    "summary_page",
    "summary_text",
    "trials_with_curves",
]
