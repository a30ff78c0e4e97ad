"""What a study leaves behind: a result as JSON, and plots, table and best parameters on its controller task.

result.py        the result of a run as plain data
figures/         Plotly figures of a study
hypervolume.py   of a Pareto front, trial by trial
best.py          the best parameters as YAML
publisher.py     puts them on the controller task, with few calls
"""

from clearml_hpo.report.best import best_yaml
from clearml_hpo.report.publisher import Publisher
from clearml_hpo.report.result import study_result

__all__ = ["Publisher", "best_yaml", "study_result"]
