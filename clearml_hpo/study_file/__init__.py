"""Study and campaign files: YAML in, checked values out, or an error that names file, line and key.

load.py          reads and checks a study file
models.py        the keys of a study file, one model per block
notify.py        the block `notify`
base.py          what blocks are made of
space.py         the block `search_space`
known_points.py  its known-good points, as far as they fit the study
overrides.py     `--set key.key=value`
campaign.py      the campaign file
source_lines.py  YAML with the line of every key
errors.py        what is wrong in a file: line, key, what is allowed
"""

from clearml_hpo.study_file.campaign import (
    CampaignFile,
    Member,
    ResourceSpec,
    is_campaign,
    load_campaign,
    parse_campaign,
)
from clearml_hpo.study_file.known_points import KnownPoints, known_points
from clearml_hpo.study_file.load import StudyFile, check_executor, dump_params, load_study, parse_study, read_point
from clearml_hpo.study_file.models import StudySpec, TemplateSpec, TemplatesSpec

__all__ = [
    "CampaignFile",
    "KnownPoints",
    "Member",
    "ResourceSpec",
    "StudyFile",
    "StudySpec",
    "TemplateSpec",
    "TemplatesSpec",
    "check_executor",
    "dump_params",
    "is_campaign",
    "known_points",
    "load_campaign",
    "load_study",
    "parse_campaign",
    "parse_study",
    "read_point",
]
