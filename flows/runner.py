"""Runs the flow of a request in this process, with the Prefect server of PREFECT_API_URL, or with one of Martlet's own."""

import atexit
import contextlib
import os

from components.errors import ServiceError
from flows.request import Request
from flows.summary import Summary
from infra.prefect_server import own_server, prefect_environment
from infra.servers.clients import asking_prefect
from infra.servers.running import is_ours
from infra.settings import Settings


def run_flow(request: Request) -> Summary:
    """Runs the flow. Raises what the stage raised, or `ServiceError` if no Prefect server answers.

    If somebody cancels the flow on Prefect's page, it ends as by Ctrl-C.
    """
    provide_server()
    from prefect.client.orchestration import get_client

    from flows.cancellation import CancellationWatch
    from flows.pretrain import pretrain

    with get_client(sync_client=True) as client:
        try:
            client.hello().raise_for_status()
        except Exception as error:
            raise ServiceError(
                f"no Prefect server answers at {client.api_url}: {error}. "
                "Start it, or unset PREFECT_API_URL to use one of Martlet's own."
            ) from error
    watch = CancellationWatch()
    try:
        return pretrain.with_options(on_running=[watch.begin], on_crashed=[watch.end])(request)
    finally:
        watch.over.set()


def provide_server() -> None:
    """Puts the server's address and our secret into the environment, for Prefect's client; called before prefect is imported.

    A server that is not ours is asked with the user's own credentials. Our own server is stopped at exit: registered first, it
    ends last, when Prefect has sent what it still held.
    """
    home = Settings().home.absolute()
    os.environ.update(prefect_environment(home))
    address = os.environ.get("PREFECT_API_URL")
    if not address:
        stack = contextlib.ExitStack()
        atexit.register(stack.close)
        address = stack.enter_context(own_server(home))
    elif not is_ours(home, address):
        return
    environment = asking_prefect(os.environ, home, address)
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)
