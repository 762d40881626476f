"""Registers a pool, the deployment with the form, and the automations that notice lost runs, on the server of PREFECT_API_URL.

A pool limit, not a deployment limit: the latter takes a lease, and a restart of the server then ends the running flow.
"""

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path
from typing import Any

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.events import Event
from prefect.events.actions import ChangeFlowRunState
from prefect.events.clients import get_events_client
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectAlreadyExists

from flows.clone import find_clone
from flows.pretrain import pretrain
from flows.ui.serve import DEPLOYMENT, POOL

CONCURRENT_RUNS = 2
HEARTBEAT = "prefect.flow-run.heartbeat"
CRASHED = "prefect.flow-run.Crashed"
ENDS = {CRASHED, *(f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled"))}
SILENCE = timedelta(minutes=30)
"""How long a run may be silent before it is taken for lost.

A flow sends a heartbeat every 180 s from a thread of its own (PREFECT_FLOWS_HEARTBEAT_FREQUENCY), so this is ten in a row:
more than a busy machine loses. But a server that was down, or suspended, hears nothing meanwhile, and may decide before the
heartbeats that were kept for it arrive. So this must be longer than the server's outages; if one lasts longer all the same, a
run that is called crashed is called running again at its next heartbeat. A shorter time gains nothing: a job does not end with
its flow, and the same command resumes a lost run without asking Prefect.
"""


OUR_RUNS: dict[str, Any] = {
    "match": {"prefect.resource.id": "prefect.flow-run.*"},
    "match_related": {"prefect.resource.role": "flow", "prefect.resource.name": pretrain.name},
    "for_each": {"prefect.resource.id"},
}
"""Each run by itself, and only runs of this flow: other flows on the same server are left alone."""


async def register(root: Path, silence: timedelta = SILENCE) -> None:
    """Creates the pool and the automations if they are missing, and the deployment as the code has it now."""
    async with get_client() as client:
        with contextlib.suppress(ObjectAlreadyExists):
            await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        await client.update_work_pool(POOL, WorkPoolUpdate(concurrency_limit=CONCURRENT_RUNS))
        for automation in (lost_runs(silence), living_runs(silence)):
            await keep_automation(client, automation)
        await expect_heartbeats(client)
    source = await pretrain.afrom_source(source=str(root), entrypoint="flows/pretrain.py:pretrain")
    await source.adeploy(
        name=DEPLOYMENT, work_pool_name=POOL, print_next_steps=False, ignore_warnings=True,
        description="Continual pre-training, from source to release.",
    )


async def keep_automation(client: PrefectClient, wanted: AutomationCore) -> None:
    """Makes sure that the server has the automation exactly once, however often this is called.

    An automation that is as it should be is left alone: an update would make the server forget which runs it waits for.
    """
    found = await client.read_automations_by_name(wanted.name)
    if not found:
        await client.create_automation(wanted)
        return
    known = found[0]
    wanted = wanted.model_copy(update={"enabled": known.enabled})  # if somebody switched it off, it stays off
    if AutomationCore.model_validate(known.model_dump(exclude={"id"})) != wanted:
        await client.update_automation(known.id, wanted)


async def expect_heartbeats(client: PrefectClient) -> None:
    """Makes the server wait anew for a sign of every run that it calls running, by sending a heartbeat in the run's name.

    A server that was down for longer than a run may be silent forgets which runs it waits for; dead ones would run forever.
    """
    ours = FlowFilter(name=FlowFilterName(any_=[pretrain.name]))
    running = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])))
    async with get_events_client() as events:
        for run in await client.read_flow_runs(flow_filter=ours, flow_run_filter=running):
            flow = {"prefect.resource.id": f"prefect.flow.{run.flow_id}", "prefect.resource.role": "flow",
                    "prefect.resource.name": pretrain.name}  # fmt: skip
            resource = {"prefect.resource.id": f"prefect.flow-run.{run.id}", "prefect.resource.name": run.name}
            await events.emit(Event.model_validate({"event": HEARTBEAT, "resource": resource, "related": [flow]}))


def lost_runs(silence: timedelta) -> AutomationCore:
    """The automation that calls a run crashed if its heartbeats ended without a word."""
    return AutomationCore(
        name="martlet: a run that is heard of no more has crashed",
        description=f"It sent heartbeats, and for {silence} neither another one nor its end.",
        trigger=EventTrigger(
            **OUR_RUNS, after={HEARTBEAT}, expect={HEARTBEAT, *ENDS}, posture=Posture.Proactive, threshold=1, within=silence
        ),
        actions=[ChangeFlowRunState(
            name="Crashed", state=StateType.CRASHED,
            message=f"nothing was heard of this run for {silence}: its process is gone. Its job, if it had one, goes on by "
                    "itself. Start the same run again to go on.",
        )],
    )  # fmt: skip


def living_runs(silence: timedelta) -> AutomationCore:
    """The automation that calls a crashed run running again if it sends a heartbeat: a dead process sends none."""
    return AutomationCore(
        name="martlet: a run that is heard of again has not crashed",
        description="It was called crashed, and sent a heartbeat afterwards.",
        trigger=EventTrigger(
            **OUR_RUNS, after={CRASHED}, expect={HEARTBEAT}, posture=Posture.Reactive, threshold=1, within=silence
        ),
        actions=[ChangeFlowRunState(
            name="Running", state=StateType.RUNNING, message="the server had not heard of it for a while; it lives", force=True
        )],
    )  # fmt: skip


if __name__ == "__main__":
    asyncio.run(register(find_clone(Path.cwd())[1]))
