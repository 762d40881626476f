"""Registers the form: a process work pool and the deployment `pretrain/form`, on the server that PREFECT_API_URL names.

A pool limit, not a deployment limit: the latter takes a lease, and a restart of the server then ends the running flow.
"""

import asyncio
import contextlib
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists

from flows.pretrain import pretrain
from flows.ui import DEPLOYMENT, POOL
from infra import git

CONCURRENT_RUNS = 2


async def register(root: Path) -> None:
    """Creates the pool where it is missing, and the deployment as the code has it now."""
    async with get_client() as client:
        with contextlib.suppress(ObjectAlreadyExists):
            await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        await client.update_work_pool(POOL, WorkPoolUpdate(concurrency_limit=CONCURRENT_RUNS))
    source = await pretrain.afrom_source(source=str(root), entrypoint="flows/pretrain.py:pretrain")
    await source.adeploy(
        name=DEPLOYMENT, work_pool_name=POOL, print_next_steps=False, ignore_warnings=True,
        description="Continual pre-training, from source to release.",
    )


if __name__ == "__main__":
    asyncio.run(register(git.root_of(Path.cwd())))
