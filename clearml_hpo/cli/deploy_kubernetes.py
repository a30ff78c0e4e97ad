"""``clearml-hpo deploy kubernetes``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from clearml_hpo.cli.choices import Choice
from clearml_hpo.cli.connection import say, use_lasting_server
from clearml_hpo.cli.deploy_options import deploy_options, put
from clearml_hpo.cli.quantities import duration
from clearml_hpo.core.errors import ClearmlHpoError, InputError
from clearml_hpo.deployment.kubernetes import WORKERS, Cluster, next_commands, render_files
from clearml_hpo.machine import settings


@click.command()
@deploy_options
@click.option(
    "--workers",
    type=Choice(WORKERS),
    default=WORKERS[0],
    show_default=True,
    help="How workers are started: with the queue's length by KEDA, a fixed number, or until the queue is empty.",
)
@click.option(
    "--queue-id",
    default="",
    metavar="ID",
    help="The queue's id, for KEDA. Default: the configured server is asked, and makes the queue if there is none.",
)
@click.option("--api-host", metavar="URL", help="ClearML's API as pods reach it. Default: the configured server's.")
@click.option("--web-host", default="", metavar="URL", help="Its pages. Default: by the address of the API.")
@click.option("--files-host", default="", metavar="URL", help="Its files. Default: by the address of the API.")
@click.option("--image", default=Cluster.image, show_default=True, help="An image that has this package.")
@click.option("--namespace", default=Cluster.namespace, show_default=True, help="Where all of it runs.")
@click.option(
    "--maximum",
    type=click.IntRange(min=1),
    default=Cluster.maximum,
    show_default=True,
    metavar="N",
    help="Workers at once, of KEDA and of Dask's autoscaler.",
)
@click.option(
    "--cores",
    type=click.IntRange(min=1),
    default=Cluster.cores,
    show_default=True,
    metavar="N",
    help="Cores that each worker asks for.",
)
@click.option("--memory", default=Cluster.memory, show_default=True, help="Memory of each worker, /dev/shm included.")
@click.option(
    "--drain-timeout",
    "drain_s",
    callback=duration,
    default="55m",
    show_default=True,
    metavar="TIME",
    help="How long a trial may still run when its pod is to end: that of your longest trial.",
)
def kubernetes(
    output: Path, force: bool, queue_id: str, api_host: str | None, web_host: str, files_host: str, **given: Any
) -> None:
    """Write files for Kubernetes: workers, controllers, a Dask cluster, an embedded server.

    They are bases and overlays of kustomize. The keys of ClearML are in none of them: pods read them from a secret.

    \b
    Examples:
      clearml-hpo deploy kubernetes --queue gpu --output cluster/
      clearml-hpo deploy kubernetes --queue gpu --gpus 0 --workers deployment --output cluster/
      clearml-hpo deploy kubernetes --queue gpu --drain-timeout 4h --output cluster/ --force
    """
    api, web, files = _hosts(api_host, web_host, files_host)
    if not queue_id and given["workers"] == "scaledjob":
        queue_id = _ask_for_id(given["queue"])
    given["drain_s"] = int(given["drain_s"])
    cluster = Cluster(api=api, web=web, files=files, queue_id=queue_id, **given)
    if not cluster.is_https:
        say("overlays/https-only is left out: an address of ClearML is not https")
    put(render_files(cluster), output, force=force, then=next_commands(cluster, output))


def _hosts(api: str | None, web: str, files: str) -> tuple[str, str, str]:
    """Addresses of API, pages and files, as pods reach them."""
    from clearml_hpo.backend.configured import beside, configured_server

    if api:
        api = api.rstrip("/")
        return (api, *beside(api, web, files))
    server = configured_server()
    if server is None or settings.is_local(server.address.api):
        found = f"of this machine ({server.address.api})" if server else "not configured"
        raise InputError(f"the ClearML server is {found}; say where pods find it: --api-host URL")
    return server.address.api, web or server.address.web, files or server.address.files


def _ask_for_id(queue: str) -> str:
    """The id of a queue on the server that commands talk to; made if there is none, as a worker would."""
    from clearml_hpo.backend.api import Api
    from clearml_hpo.backend.names import ensure_queue

    try:
        use_lasting_server(local=False)
        return ensure_queue(Api(), queue)
    except ClearmlHpoError as error:
        raise InputError(
            f"KEDA asks for a queue by its id, which is not known: {error}. Give it: --queue-id ID, or start workers "
            "without KEDA: --workers deployment"
        ) from None
