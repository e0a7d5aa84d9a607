"""A cold start: `make up` in a new folder, with what it fetches and installs there already, to the first placement."""

import asyncio
import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from deploy.local.ports import free_ports, setting
from deploy.local.servers import LOCALHOST, ROOT
from shared.contracts.matching import PlacementMade

PATIENCE_SECONDS = 300.0
PACE = "20"
"""The simulated city is so many times as busy as usual, so that what is measured is the start and not the quiet."""


class Started(NamedTuple):
    """Seconds from the start of the command."""

    opened: float
    placed: float


def start() -> Started:
    """Raises TimeoutError when nobody is placed."""
    with tempfile.TemporaryDirectory(prefix="kuaizhao-", ignore_cleanup_errors=True) as folder:
        return asyncio.run(_start(Path(folder)))


async def _start(folder: Path) -> Started:
    ports = free_ports()
    settings = {setting(part): str(port) for part, port in ports.items()}
    settings |= {"KUAIZHAO_STATE": str(folder), "KUAIZHAO_CITY_PACE": PACE}
    began = time.time()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local.up"),
        cwd=ROOT,
        env={**os.environ, **settings},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            opened = asyncio.create_task(_opened(process))
            placed = await _first_placement(f"{LOCALHOST}:{ports['kafka']}")
            return Started(await opened - began, placed - began)
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.communicate()


async def _opened(process: asyncio.subprocess.Process) -> float:
    assert process.stdout is not None
    async for line in process.stdout:
        if b"the market is open" in line:
            return time.time()
    raise TimeoutError("the market did not open")


async def _first_placement(kafka: str) -> float:
    """By the broker's clock. The topic is made by whoever starts the market, and is not asked for before."""
    while True:
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
        try:
            await consumer.start()
            if PlacementMade.topic in await consumer.topics():
                consumer.subscribe([PlacementMade.topic])
                return float((await consumer.getone()).timestamp / 1_000)
        except KafkaError:
            pass
        finally:
            await consumer.stop()
        await asyncio.sleep(0.5)
