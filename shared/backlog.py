"""What stands in a service's database and waits: for Kafka, for its time, for a person."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared import clock
from shared.telemetry import METRICS
from shared.unit import OLDEST_FIRST, Database

ROUND_TRIP = timedelta(seconds=1)
KINDS = ("unreadable", "refused", "failed", "parked")


@dataclass(frozen=True)
class Backlog:
    """Counts, and ages in seconds (0 of nothing). `dead` counts letters by kind; `blown_at` is the fuse's."""

    outbox: int
    outbox_seconds: float
    timers_overdue: int
    overdue_seconds: float
    dead: dict[str, int]
    blown_at: datetime | None


async def backlog(db: Database) -> Backlog:
    """What waits in one service's database now."""
    now = clock.now()
    due = {"due_at": {"$lte": now}}
    oldest = await db["_outbox"].find_one({}, {"at": 1}, sort=OLDEST_FIRST)
    first = await db["_timers"].find_one(due, {"due_at": 1}, sort=[("due_at", 1)])
    counted = await (await db["_dead"].aggregate([{"$group": {"_id": "$kind", "n": {"$sum": 1}}}])).to_list()
    fuse: dict[str, Any] | None = await db["_fuses"].find_one({})
    return Backlog(
        outbox=await db["_outbox"].count_documents({}) if oldest else 0,
        outbox_seconds=max(0.0, (now - oldest["at"]).total_seconds()) if oldest else 0.0,
        timers_overdue=await db["_timers"].count_documents(due) if first else 0,
        overdue_seconds=(now - first["due_at"]).total_seconds() if first else 0.0,
        dead=dict.fromkeys(KINDS, 0) | {row["_id"]: row["n"] for row in counted},
        blown_at=fuse["at"] if fuse else None,
    )


async def measure(db: Database, service: str) -> None:
    """Set the gauges of what waits. Every replica shows the same: take the greatest, not the sum.

    And the one of this process' clock, against the database's: timers and time limits are compared across both.
    """
    asked = clock.now()
    told = (await db.command("hello", codec_options=db.codec_options))["localTime"]
    answered = clock.now()
    if answered - asked < ROUND_TRIP:  # a longer one says little
        METRICS.clock_skew.labels(service).set((asked + (answered - asked) / 2 - told).total_seconds())
    found = await backlog(db)
    METRICS.overdue.labels(service).set(found.overdue_seconds)
    for kind, n in found.dead.items():
        METRICS.dead_standing.labels(service, kind).set(n)
