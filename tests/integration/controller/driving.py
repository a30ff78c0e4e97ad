"""Studies driven in this process, on the embedded server."""

from __future__ import annotations

import contextlib
import threading
import time

from clearml_hpo.controller.executors import executor_of
from clearml_hpo.controller.opening import Opening
from clearml_hpo.controller.run import StudyRun
from clearml_hpo.study_file import load_study

DEADLINE_S = 60.0


class Listener:
    """A view that remembers."""

    def __init__(self):
        self.notes = []
        self.trials = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def note(self, text):
        self.notes.append(text)

    def trial(self, trial):
        self.trials.append(trial)

    def progress(self, progress):
        pass


def run(path, api, *, view=None, overrides=(), stopped=None, new=False, take_over=False, **options):
    """``clearml-hpo run``, without the command line."""
    view = view or Listener()
    return _drive(api, view, stopped, take_over, options, lambda o: o.from_file(load_study(path, overrides), new=new))


def resume(study, api, *, view=None, overrides=(), stopped=None, take_over=False, **options):
    """``clearml-hpo resume``, without the command line."""
    view = view or Listener()
    return _drive(api, view, stopped, take_over, options, lambda o: o.by_id(study, overrides))


def _drive(api, view, stopped, take_over, options, find):
    stopped = stopped or threading.Event()
    with contextlib.ExitStack() as stack:

        def prepare(api, file):
            """Agents are there already."""
            make = executor_of(file, api, print)

            def made(*of):
                executor = make(*of)
                stack.callback(executor.close)
                return executor

            return file, made

        opening = Opening(api, prepare, stopped, view.note, take_over=take_over)
        return StudyRun(find(opening), api, view, stopped, **options).run()


def eventually(found, what, running=None):
    """What ``found`` returns once that is something; ``running`` must go on until then."""
    until = time.monotonic() + DEADLINE_S
    while not (result := found()):
        assert time.monotonic() < until, what
        assert running is None or not running.done(), running.result()
        time.sleep(0.05)
    return result
