"""The contract on pilots that real agents start; what becomes of pilots."""

from __future__ import annotations

import signal

import psutil
import pytest

from clearml_hpo import fleet
from clearml_hpo.backend.names import ensure_project, ensure_queue
from clearml_hpo.backend.pilots import Environment, create_pilot, pilots_of
from clearml_hpo.core.errors import StudyError
from clearml_hpo.executors.pilots import PILOTS, PilotExecutor, PilotPlan
from clearml_hpo.testing.executor_contract import ProcessContract, Stage, eventually
from tests import place

pytestmark = [pytest.mark.agent, pytest.mark.long]
TWO_SLOTS = {"cpu": "2", "threads": "1", "idle-timeout": "60"}


@pytest.fixture(scope="module")
def agents(server, server_environ, tmp_path_factory):
    """The queue of two agents."""
    queue, home = place.queue("agents"), tmp_path_factory.mktemp("fleets")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server_environ.items():
            patch.setenv(name, value)
        fleet.up(home, server.address, fleet.plan_slots(queue=queue, cpu=2), name=queue, with_parent=True)
        yield queue
        fleet.down(home, name=queue, now=True, timeout_s=60)


@pytest.fixture
def stage(api, tmp_path):
    return Stage(api, tmp_path, place.queue("contract"), 2)


@pytest.fixture
def study(api):
    script = {"entry_point": "a.py", "diff": "pass\n", "binary": "python3"}
    return api.call("tasks.create", name="study", type="optimizer", project=project(api), script=script)["id"]


@pytest.fixture
def notes():
    return []


@pytest.fixture
def make(stage, study, agents, notes):
    """Makes the study's executor."""
    made = []

    def make(count=1, **options):
        plan = PilotPlan(agents, ensure_queue(stage.api, agents), count, {**TWO_SLOTS, **options})
        given = {"project_id": project(stage.api), "environment": Environment(), "on_note": notes.append}
        made.append(PilotExecutor(stage.api, plan, study_id=study, **given))
        return made[-1]

    yield make
    for executor in made:
        executor.close()
    if left := [pilot.task_id for pilot in alive(stage, study)]:  # some wait for tasks that nobody will release
        stage.api.call("tasks.stop_many", ids=left)
    eventually(lambda: not alive(stage, study), "its pilots leave")


def project(api):
    return ensure_project(api, place.project("contract"))


def pilots(stage, study):
    return pilots_of(stage.api, study)


def alive(stage, study):
    return [pilot for pilot in pilots(stage, study) if pilot.is_alive]


def statuses(stage, study):
    return [pilot.status for pilot in pilots(stage, study)]


class TestPilots(ProcessContract):
    @pytest.fixture
    def executor(self, make):
        return make()

    def test_workers_are_the_slots(self, executor):
        eventually(lambda: executor.workers() == {PILOTS: 2}, "two slots of one pilot")


def run(stage, executor, *names):
    tasks = [stage.held(name) for name in names]
    for task in tasks:
        executor.submit(task, PILOTS)
    return tasks


def test_pilots_leave_with_the_study(stage, study, make):
    executor = make(2, cpu="1")
    tasks = run(stage, executor, "a", "b")
    stage.until_begun("a", "b")  # each in a pilot of its own
    workers = {stage.task(task)["last_worker"].rpartition(":")[0] for task in tasks}
    assert len(workers) == 2 and all(":pilot-" in worker for worker in workers)
    stage.release("a", "b")
    stage.until("completed", *tasks)
    executor.close()
    eventually(lambda: statuses(stage, study) == ["completed", "completed"], "the pilots have left")
    assert not stage.api.call("queues.get_all", name=f"^pilots-{study}$")["queues"]


def test_one_that_a_person_stops_says_what_becomes_of_its_trials(stage, study, make):
    executor = make()
    (task,) = run(stage, executor, "a")
    stage.until_begun("a")
    (pilot,) = pilots(stage, study)
    stage.api.call("tasks.stop", task=pilot.task_id, status_reason="I need the GPU")
    stage.until("failed", task)
    assert stage.task(task)["status_reason"].startswith("lost: its worker was ended")
    eventually(lambda: statuses(stage, study) == ["stopped"], "the agent has let it end")
    run(stage, executor, "b")
    executor.workers()
    assert not alive(stage, study), "a user wants it so"


def test_one_that_has_died_is_followed_by_another(stage, study, make, notes):
    executor = make()
    (first,) = run(stage, executor, "a")
    stage.until_begun("a")
    _kill(stage.task(first)["last_worker"])
    eventually(lambda: statuses(stage, study) == ["failed"], "its agent says so")
    executor.workers()
    assert not alive(stage, study), "nothing waits"
    run(stage, executor, "b")
    executor.workers()
    assert len(alive(stage, study)) == 1
    stage.until_begun("b")
    stage.until("failed", first)
    assert stage.task(first)["status_reason"].startswith("lost: worker")
    assert any(note.startswith("pilot ") and " failed: " in note for note in notes)
    stage.release("b")


def test_no_pilot_can_be_called_in_once_the_agents_queue_is_deleted(stage, study, notes):
    queue = place.queue("agents")
    plan = PilotPlan(queue, ensure_queue(stage.api, queue), 1, TWO_SLOTS)
    about = {"project_id": project(stage.api), "environment": Environment(), "on_note": notes.append}
    executor = PilotExecutor(stage.api, plan, study_id=study, **about)
    run(stage, executor, "a")
    stage.api.call("queues.delete", queue=plan.queue_id, force=True)
    with pytest.raises(StudyError, match=f"the queue '{queue}', .* was deleted; make it again"):
        executor.workers()
    assert statuses(stage, study) == ["created"], "the one that waited there, and no other"


def _kill(worker):
    pid = int(worker.split(":")[1].rpartition("-")[2].partition(".")[0])
    psutil.Process(pid).send_signal(signal.SIGKILL)


def test_another_controller_takes_them_over(stage, study, make):
    make(2)
    eventually(lambda: statuses(stage, study) == ["in_progress"] * 2, "both are started")
    assert make(2).workers()[PILOTS] >= 2
    assert len(pilots(stage, study)) == 2


def test_they_leave_when_nothing_comes(stage, study, make):
    executor = make(**{"idle-timeout": "1"})
    eventually(lambda: statuses(stage, study) == ["completed"], "it has left")
    run(stage, executor, "a")
    executor.workers()
    assert len(alive(stage, study)) == 1, "a trial waits: another one is called in"
    stage.release("a")


def test_pilots_that_fail_end_the_study(stage, study, make):
    executor = make(3, cpu="none")
    with pytest.raises(StudyError, match=r"3 pilots in a row have failed: .*'none' is not a valid integer"):
        eventually(lambda: not executor.workers(), "it fails")


def test_nobody_serves_their_queue(stage, study, notes):
    queue = place.queue("unserved")
    plan = PilotPlan(queue, ensure_queue(stage.api, queue), 2, TWO_SLOTS)
    given = {"project_id": project(stage.api), "environment": Environment(), "on_note": notes.append}
    executor = PilotExecutor(stage.api, plan, study_id=study, **given)
    assert f"clearml-hpo agents up --queue {queue}" in notes[-1]
    assert executor.workers() == {PILOTS: 2} and statuses(stage, study) == ["queued"] * 2
    executor.close()
    assert not pilots(stage, study), "those that nobody took are gone"
    successor = PilotExecutor(stage.api, plan, study_id=study, **given)
    executor.close()
    assert statuses(stage, study) == ["queued"] * 2, "these are another one's"
    successor.close()


def test_a_note_says_that_no_pilot_is_left(stage, study, notes):
    """Pilots that a user has stopped are not replaced."""
    queue = place.queue("unserved")
    plan = PilotPlan(queue, ensure_queue(stage.api, queue), 1, TWO_SLOTS)
    given = {"project_id": project(stage.api), "environment": Environment(), "on_note": notes.append}
    executor = PilotExecutor(stage.api, plan, study_id=study, **given)
    (pilot,) = pilots(stage, study)
    stage.api.call("tasks.stop", task=pilot.task_id)
    notes.clear()
    assert executor.workers() == {PILOTS: 0}
    assert notes == [], "nothing waits"
    (task,) = run(stage, executor, "a")
    for _ in range(2):
        assert executor.workers() == {PILOTS: 0}
    (note,) = notes
    assert note.startswith("no pilot is left for the waiting trials: a user has stopped them")
    assert pilot.task_id in note and f"`clearml-hpo worker --queue pilots-{study}`" in note
    assert executor.how_to_serve(PILOTS) == f"clearml-hpo worker --queue pilots-{study}"
    executor.withdraw([task])
    executor.close()


def test_a_pilot_needs_a_queue(stage, agents):
    task = create_pilot(stage.api, name="worker", project_id=project(stage.api), options={"cpu": "1"})
    stage.api.call("tasks.enqueue", task=task, queue_name=agents)
    stage.until("failed", task)
    assert "worker/queue: task" in stage.console(task)
