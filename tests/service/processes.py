"""A service as a real process beside its harness, on the same database and without Kafka, to be killed by a fault."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from deploy.local.ports import free_ports
from shared.testing import SECRET, Harness

KILLED = 137
PATIENCE_SECONDS = 180.0


@asynccontextmanager
async def process_of(harness: Harness, mongo_url: str, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m shared.run` for the harness's service; what it sends, it sends as soon as the database is there."""
    service = harness.runtime.service.name
    environment = {
        "MONGO_URL": mongo_url,
        "DATABASE": harness.runtime.store.db.name,
        "SECRET": SECRET,
        "KAFKA": "127.0.0.1:1",
        "PORT": str(free_ports([service])[service]),
        **settings,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shared.run", service),
        env=os.environ | {f"KUAIZHAO_{name}": value for name, value in environment.items()},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def killed(harness: Harness, mongo_url: str, fault: str, **settings: str) -> None:
    """Run a process until a fault point kills it as `kill -9` does."""
    async with process_of(harness, mongo_url, FAULT=fault, **settings) as process, asyncio.timeout(PATIENCE_SECONDS):
        assert await process.wait() == KILLED


def by_the_wall(harness: Harness) -> None:
    """The harness goes by real time, as the processes beside it do."""
    harness.clock.now = datetime.now(UTC)
