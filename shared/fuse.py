"""Stops a service's consumption when dead letters pile up: then it is the code or a publisher, not an event.

A blown fuse is a document in the service's database, so that no restart mends it, every replica stands still with it,
and a person who has looked resets it for all (`kuaizhao fuse reset`).
"""

from collections import deque
from typing import Any

import structlog

from shared import clock
from shared.audit import audit
from shared.store import Store
from shared.telemetry import METRICS
from shared.unit import Database, Unit

log = structlog.get_logger()

WINDOW = 200
RATIO = 0.5
LEAST = 20


class Fuse:
    """One process' view of its service's fuse. It blows when half of the last 200 events, and 20 at least, are dead."""

    def __init__(self, db: Database, service: str) -> None:
        self._fuses, self._service = db["_fuses"], service
        self._last: deque[bool] = deque(maxlen=WINDOW)
        self._to_tell: dict[str, Any] = {}
        self.blown = False

    def count(self, dead: int, handled: int) -> None:
        """Note what became of a batch."""
        self._last.extend([True] * dead + [False] * handled)
        bad = sum(self._last)
        if bad >= max(LEAST, RATIO * len(self._last)) and not self.blown:
            self._to_tell = {"at": clock.now(), "dead": bad, "of_last": len(self._last)}
            log.error("fuse: too many dead letters, consumption stops until it is reset", of_last=len(self._last))
            self._turn(blown=True)

    async def look(self) -> None:
        """Tell the other replicas when it blew here, and hear whether it blew, or was reset, elsewhere."""
        if self._to_tell:
            await self._fuses.update_one({"_id": self._service}, {"$setOnInsert": self._to_tell}, upsert=True)
            self._to_tell = {}
        blown = await self._fuses.find_one({"_id": self._service}) is not None
        if blown != self.blown:
            log.warning("fuse: blown, consumption stands still" if blown else "fuse: reset, consumption goes on")
        self._turn(blown=blown)

    def _turn(self, *, blown: bool) -> None:
        if not blown and self.blown:
            self._last.clear()
        self.blown = blown
        METRICS.fuse_blown.labels(self._service).set(blown)


async def reset(store: Store, *, by: str) -> dict[str, Any] | None:
    """Let a service consume again, in all its replicas; returns what was known of its fuse, None when it is whole."""

    async def mend(unit: Unit) -> dict[str, Any] | None:
        found: dict[str, Any] | None = await unit.db["_fuses"].find_one_and_delete({}, session=unit.session)
        if found:
            await audit(
                unit, by, "fuse-reset", **{name: found[name] for name in ("dead", "of_last")}, blown_at=found["at"]
            )
        return found

    return await store.transact(mend)
