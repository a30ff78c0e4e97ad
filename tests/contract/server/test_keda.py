"""KEDA reads a queue's length from the server: the request is made of the files, as KEDA makes it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import requests
import yaml

from clearml_hpo.deployment.kubernetes import Cluster, render_files
from clearml_hpo.machine.settings import ServerAddress
from tests import keda, place


def read_by_keda(address: ServerAddress, queue_id: str) -> object:
    cluster = Cluster("gpu", address.api, address.web, address.files, queue_id=queue_id)
    job, authentication = yaml.safe_load_all(render_files(cluster)["base/worker-scaledjob.yaml"])
    return keda.length(job, authentication, address.environ())


def test_keda_sees_how_many_tasks_wait(server):
    call = place.Calls(server.address)
    queue = call("queues.create", name=place.queue("keda"))["id"]
    assert read_by_keda(server.address, queue) == 0
    project = call("projects.create", name=place.project("keda"), description="")["id"]
    for number in range(3):
        task = call("tasks.create", name=f"task {number}", type="training", project=project)["id"]
        call("tasks.enqueue", task=task, queue=queue)
    found = read_by_keda(server.address, queue)
    assert found == 3 and type(found) is int
    call("queues.get_next_task", queue=queue)  # it runs, and needs no other worker
    assert read_by_keda(server.address, queue) == 2


def test_keda_gets_no_answer_with_other_keys(server):
    call = place.Calls(server.address)
    queue = call("queues.create", name=place.queue("keda"))["id"]
    with pytest.raises(requests.HTTPError, match="401"):
        read_by_keda(replace(server.address, secret_key="wrong"), queue)


def test_keda_gets_no_length_of_a_queue_that_is_gone(server):
    with pytest.raises(requests.HTTPError, match="400"):
        read_by_keda(server.address, "0123456789abcdef0123456789abcdef")
