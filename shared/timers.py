"""Durable timers: documents claimed when they are due, so that a restart forgets none and no two processes act."""

import asyncio
from datetime import timedelta

import structlog
from pymongo.errors import PyMongoError

from shared import clock
from shared.delivery import Delivery
from shared.lease import Lease
from shared.store import Contended, DatabaseDown
from shared.tasks import end_tasks
from shared.unit import Database, Timer

log = structlog.get_logger()

POLL_SECONDS = 0.25
AT_ONCE = 200
TOGETHER = 8
FAILED_AGAIN_AFTER = timedelta(seconds=30)


class Timers:
    """Fires a service's due timers. One of its processes at a time looks for them."""

    def __init__(self, db: Database, delivery: Delivery) -> None:
        self._db, self._delivery = db, delivery
        self._lease = Lease(db, "timers")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task:
            await end_tasks(self._task)
            await asyncio.gather(self._lease.give_up(), return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                more = await self._lease.held() and await self.fire_due() > 0  # the next page of many is due at once
            except (PyMongoError, DatabaseDown, Contended) as error:
                log.debug("timers wait for the database", error=repr(error))
                more = False
                await asyncio.sleep(1)
            if not more:
                await asyncio.sleep(POLL_SECONDS)

    async def fire_due(self) -> int:
        """Fire what is due now; returns how many were looked at. One that fails is tried again later."""
        due = self._db["_timers"].find({"due_at": {"$lte": clock.now()}}, sort=[("due_at", 1)], limit=AT_ONCE)
        timers = [Timer.model_validate({"id": row["_id"], **row}) async for row in due]
        for start in range(0, len(timers), TOGETHER):
            await asyncio.gather(*(self._fire(timer) for timer in timers[start : start + TOGETHER]))
        return len(timers)

    async def _fire(self, timer: Timer) -> None:
        try:
            await self._delivery.fire(timer)
        except (DatabaseDown, Contended):
            raise
        except Exception as error:
            log.error("timer failed, will be tried again", timer=timer.name, exc_info=error)
            await self._db["_timers"].update_one(
                {"_id": timer.id, "due_at": timer.due_at}, {"$set": {"due_at": clock.now() + FAILED_AGAIN_AFTER}}
            )
