"""What a study leaves behind: a result as JSON, and plots, table and best parameters on its controller task.

result.py      the result of a run as plain data
figures.py     Plotly figures of a study
publisher.py   puts them on the controller task, with few calls
"""

from clearml_hpo.report.publisher import Publisher
from clearml_hpo.report.result import study_result

__all__ = ["Publisher", "study_result"]
