"""Connects values of every type, in each way that the SDK has, and prints what arrived as JSON."""

import argparse
import enum
import json
import os
import sys

from clearml import Task


class Kind(enum.Enum):
    FIRST = "first"
    SECOND = "second"


VALUES = {
    "whole": 3,
    "real": 0.5,
    "whole_real": 1.0,
    "tiny": 1e-05,
    "yes": True,
    "no": False,
    "nothing": None,
    "nothing_again": None,
    "text": "a text with spaces",
    "digits": "10",
    "true_text": "True",
    "none_text": "None",
    "empty": "",
    "several": [1, 2],
    "pair": (1, 2),
    "kind": Kind.FIRST,
}


def described(values):
    return {name: [type(value).__name__, repr(value)] for name, value in values.items()}


parser = argparse.ArgumentParser()
parser.add_argument("--depth", type=int, default=3)
parser.add_argument("--rate", type=float, default=0.1)
parser.add_argument("--limit", type=float, default=None)
parser.add_argument("--kind", default="a")
parser.add_argument("--name", type=str, default=None)
parser.add_argument("--hidden", type=int, nargs="+", default=[64, 32])
parser.add_argument("--rates", type=float, nargs="*", default=None)
parser.add_argument("--fast", action="store_true")
task = Task.init(os.environ["TEST_PROJECT"] + "/arrival", "connect", reuse_last_task_id=False)
arguments = vars(parser.parse_args())
connected = task.connect(dict(VALUES))
configured = task.connect_configuration({"model": {"depth": 3, "rates": [0.1, 0.2], "on": True}, "name": "x"}, "Config")
found = {
    "General": described(connected),
    "Args": described(arguments),
    "Config": json.loads(json.dumps(configured)),
}
task.close()
print("ARRIVED " + json.dumps(found), file=sys.stderr)
