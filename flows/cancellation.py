"""Ends a flow run that a shell started, as Ctrl-C would, when somebody cancels it on Prefect's page.

A worker ends the flow runs that it started itself; nobody else would end those that a shell started.
"""

import os
import signal
import threading
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from prefect.states import Cancelled

POLL_SECONDS = 2.0


def is_cancelled(flow_run: UUID) -> bool:
    """Whether Prefect says that the flow run is cancelled or about to be; False if Prefect does not answer."""
    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(flow_run).state
    except Exception:  # noqa: BLE001  (Prefect is away: then nobody cancelled anything there)
        return False
    return state is not None and (state.is_cancelling() or state.is_cancelled())


class CancellationWatch:
    """Watches one flow run of this process; its methods are hooks for Prefect."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.seen = False

    def begin(self, flow: "Flow[..., Any]", flow_run: FlowRun, state: State) -> None:  # noqa: ARG002  (Prefect names them)
        """Starts to watch, as soon as the flow runs."""
        threading.Thread(target=self._watch, args=[flow_run.id], daemon=True).start()

    def _watch(self, flow_run: UUID) -> None:
        """Interrupts the main thread once; by SIGTERM if Ctrl-C is ignored, as in the background of a script."""
        while not self.over.wait(POLL_SECONDS):
            if is_cancelled(flow_run):
                self.seen = True
                ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
                os.kill(os.getpid(), signal.SIGTERM if ignored else signal.SIGINT)
                return

    def end(self, flow: "Flow[..., Any]", flow_run: FlowRun, state: State) -> None:  # noqa: ARG002  (Prefect names them)
        """Sets the state to cancelled if this watch interrupted the flow, which Prefect takes for a crash."""
        if self.seen:
            with get_client(sync_client=True) as client:
                client.set_flow_run_state(flow_run.id, Cancelled(), force=True)
