"""What a new version does once to documents that an older one wrote: numbered steps, before the service is ready.

    services/<name>/migrations.py:  MIGRATIONS = (Migration(1, "contacts have several points", several_points),)
    services/<name>/app.py:         service = Service(..., migrations=MIGRATIONS)

A step that is done is recorded in `_migrations` and not done again. One process of the service takes them, under a
lease; one that is killed in the middle is followed by another, which begins its step anew. So a step may run more than
once, also twice at the same time, and comes to the same: it looks for what still has the old shape.

Processes of the version before run beside it (docs/operations.md, "Upgrading"), so a step leaves nothing that they
cannot read, and what they write meanwhile is read by the new version in either shape.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from pymongo import ReplaceOne
from pymongo.errors import DuplicateKeyError

from shared import clock
from shared.faults import fault_point
from shared.lease import LENGTH, Lease
from shared.tasks import end_tasks
from shared.unit import Database

log = structlog.get_logger()

CHUNK = 500
AGAIN_SECONDS = 0.5
DONE = "_migrations"


@dataclass(frozen=True)
class Migration:
    """One step. `run` may be begun again at any point, and by two processes at once."""

    number: int
    what: str
    run: Callable[[Database], Awaitable[None]]


def in_order(steps: Sequence[Migration]) -> None:
    """Raises ValueError unless the steps are numbered 1, 2, 3, …: a number that was given is never another step's."""
    numbers = [step.number for step in steps]
    if numbers != list(range(1, len(steps) + 1)):
        raise ValueError(f"migrations are numbered 1 to {len(steps)} in their order, not {numbers}")


async def migrate(db: Database, steps: Sequence[Migration]) -> None:
    """Do the steps that this database lacks, in their order, or wait for the process that is doing them."""
    lease = Lease(db, "migrations")
    while left := await _left(db, steps):
        if not await lease.held():
            await asyncio.sleep(AGAIN_SECONDS)
            continue
        renewing = asyncio.create_task(_renew(lease))
        try:
            for step in left:
                log.info("migration begins", number=step.number, what=step.what)
                await step.run(db)
                with suppress(DuplicateKeyError):
                    await db[DONE].insert_one({"_id": step.number, "what": step.what, "at": clock.now()})
                log.info("migration done", number=step.number)
        finally:
            await end_tasks(renewing)
            await lease.give_up()


async def _left(db: Database, steps: Sequence[Migration]) -> list[Migration]:
    done = {row["_id"] async for row in db[DONE].find({}, {"_id": 1})}
    if newer := sorted(done - {step.number for step in steps}):
        log.info("the database was migrated by a newer version, which this one runs beside", numbers=newer)
    return [step for step in steps if step.number not in done]


async def _renew(lease: Lease) -> None:
    while True:
        await asyncio.sleep(LENGTH.total_seconds() / 3)
        await lease.held()


async def rewrite(
    db: Database, collection: str, old: Mapping[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]
) -> int:
    """Change documents that match `old`, which those that are changed must not; returns how many were.

    Each as a unit would: its version counts on, and one that somebody else changes meanwhile is looked at again.
    Raises ValueError when a changed document still matches, since that would never end.
    """
    changed = 0
    while rows := await db[collection].find(old).limit(CHUNK).to_list():
        replaced = await db[collection].bulk_write(
            [
                ReplaceOne(
                    {"_id": row["_id"], "version": row.get("version")},
                    {**change(dict(row)), "_id": row["_id"], "version": row.get("version", 0) + 1},
                )
                for row in rows
            ],
            ordered=False,
        )
        changed += replaced.matched_count
        if replaced.matched_count and await db[collection].find_one(
            {"$and": [dict(old), {"_id": rows[0]["_id"], "version": rows[0].get("version", 0) + 1}]}
        ):
            raise ValueError(f"{collection}: a document that was changed still matches what is looked for")
        fault_point("mid_migration")
    return changed
