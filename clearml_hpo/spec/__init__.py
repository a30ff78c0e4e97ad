"""The study file: YAML in, a checked :class:`StudyFile` out, or an error that names file, line and key."""

from clearml_hpo.spec.load import StudyFile, dump_params, load_study, parse_study
from clearml_hpo.spec.models import StudySpec, TemplateSpec, TemplatesSpec

__all__ = ["StudyFile", "StudySpec", "TemplateSpec", "TemplatesSpec", "dump_params", "load_study", "parse_study"]
