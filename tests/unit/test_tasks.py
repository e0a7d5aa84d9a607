"""A task that loses a cancellation is ended all the same."""

import asyncio

from shared.tasks import end_tasks


async def test_a_lost_cancellation_is_said_again() -> None:
    lost = 0

    async def deaf() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if lost:
                    raise
                lost += 1

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await end_tasks(task)
    assert (lost, task.cancelled()) == (1, True)


async def test_what_a_task_raises_at_its_end_is_dropped() -> None:
    async def breaks() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            raise ValueError("at its end")

    task = asyncio.create_task(breaks())
    await asyncio.sleep(0)
    await end_tasks(task)
    assert isinstance(task.exception(), ValueError)
