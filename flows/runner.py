"""A request in, the flow run in this process: against PREFECT_API_URL where one is set, else against a server of its own."""

import contextlib
import os
from collections.abc import Iterator

from components.errors import ServiceError
from flows.request import Request
from flows.summary import Summary
from infra.prefect_server import own_server, prefect_environment
from infra.settings import Settings


def run_flow(request: Request) -> Summary:
    """Runs the flow. Raises what the stage raised, `ServiceError` where no Prefect server answers."""
    with prefect_server():
        from prefect.client.orchestration import get_client

        from flows.pretrain import pretrain

        with get_client(sync_client=True) as client:
            try:
                client.hello().raise_for_status()
            except Exception as error:
                raise ServiceError(
                    f"no Prefect server answers at {client.api_url}: {error}. "
                    "Start it, or unset PREFECT_API_URL to use one of Martlet's own."
                ) from error
        return pretrain(request)


@contextlib.contextmanager
def prefect_server() -> Iterator[None]:
    """The server that Prefect's client will find in its environment; set before prefect is imported."""
    home = Settings().home
    os.environ.update(prefect_environment(home))
    if os.environ.get("PREFECT_API_URL"):
        yield
        return
    with own_server(home) as address:
        os.environ["PREFECT_API_URL"] = address
        try:
            yield
        finally:
            del os.environ["PREFECT_API_URL"]
