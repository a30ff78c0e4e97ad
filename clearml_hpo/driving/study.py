"""A study is opened and driven in this process, until it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from clearml_hpo.backend.api import Api
from clearml_hpo.backend.template import Templates
from clearml_hpo.controller.executors import MakeExecutor, executor_of, on_one_queue, on_this_machine, slots_of
from clearml_hpo.controller.opening import Opened, Opening
from clearml_hpo.controller.run import Outcome, StudyRun
from clearml_hpo.core.goal import Goal
from clearml_hpo.driving.local import local_agents
from clearml_hpo.executors import Executor
from clearml_hpo.machine import settings
from clearml_hpo.study_file import StudyFile
from clearml_hpo.views.display import View


class Place:
    """Where trials run: what a study needs is started when it is known that the study needs it."""

    def __init__(
        self,
        stack: ExitStack,
        say: Callable[[str], None],
        here: settings.Settings,
        server: settings.ServerAddress | None,
        agents: int | None,
    ) -> None:
        """Nothing is started yet.

        Args:
            stack: what is started ends with it.
            say: tells the user what is started.
            server: the embedded one, if trials of queues are to run on this machine; else None.
            agents: how many agents run them; None for warm workers.
        """
        self.say = say
        self._stack = stack
        self._here = here
        self._server = server
        self._agents = agents

    def prepare(self, api: Api, file: StudyFile) -> tuple[StudyFile, MakeExecutor]:
        """Starts agents, if they are to run here; returns the study on their queue, and how to make its executor."""
        if self._server is not None and file.spec.execution.executor == "queue":
            if self._agents is None:
                file = on_this_machine(file)
            else:
                queue = file.spec.execution.queue[0]
                own = local_agents(self._here, self._server, queue, self._agents, self.say)
                file = on_one_queue(file, self._stack.enter_context(own))
        if file.spec.execution.executor == "local":
            count = len(slots_of(file.spec.execution.local))
            self.say(f"{count} warm worker{'' if count == 1 else 's'} on this machine")
        make = executor_of(file, api, lambda text: self.say(text))  # which becomes the view's, once there is one

        def make_and_close(study_id: str, templates: Templates) -> Executor:
            executor = make(study_id, templates)
            self._stack.callback(executor.close)
            return executor

        return file, make_and_close


def open_and_run(
    find: Callable[[Opening], Opened],
    place: Place,
    stopped: threading.Event,
    view_of: Callable[[str, Goal], View],
    *,
    take_over: bool = False,
    aborts: bool = True,
    sampler: Any = None,
    pruner: Any = None,
) -> tuple[Goal, Outcome]:
    """Drives the study that ``find`` opens until it ends.

    Args:
        stopped: ends it early.
        view_of: makes the view of a study, by its name and goal.
        take_over: displaces a controller that drives it elsewhere.
        aborts: whether trials that run then are aborted, or left to a successor.
        sampler, pruner: objects of Optuna's, in place of those that the study file names.

    Raises:
        InputError: the study, its template or the server lack something; nothing goes on running.
        StudyError: the study cannot go on.
    """
    api = Api()
    opening = Opening(api, place.prepare, stopped, place.say, take_over=take_over)
    with api.asking_again(place.say, stopped):
        opened = find(opening)
    goal = opened.file.goal
    with view_of(opened.file.spec.study, goal) as view:
        place.say = view.note
        return goal, StudyRun(opened, api, view, stopped, aborts=lambda: aborts, sampler=sampler, pruner=pruner).run()
