"""How a task is ended."""

import asyncio
from typing import Any


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until they have ended; what they raise is dropped.

    Once is not enough: `asyncio.wait_for` of Python 3.11, through which PyMongo sends, drops a cancellation that meets
    the end of what it waits for (github.com/python/cpython/issues/86296; 3.12 does not).
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=1)
    await asyncio.gather(*tasks, return_exceptions=True)
