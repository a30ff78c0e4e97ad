from __future__ import annotations

import json
import math
from datetime import datetime

from clearml_hpo.cli.tables import moment, print_json


def test_json_has_no_number_that_is_none(capsys):
    print_json([{"a": math.nan, "b": [math.inf, 1.5], "c": {"d": -math.inf}, "e": "nan"}])
    assert json.loads(capsys.readouterr().out) == [{"a": None, "b": [None, 1.5], "c": {"d": None}, "e": "nan"}]


def test_a_moment_is_short():
    assert moment(None) == ""
    assert moment(datetime(2001, 2, 3, 4, 5).timestamp()) == "2001-02-03"
    then = datetime.now().replace(month=1, day=2, hour=3, minute=4)
    assert moment(then.timestamp()) == "01-02 03:04"
