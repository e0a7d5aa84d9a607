"""What a new version does once to what an older one wrote: in order, once, and begun again by whoever comes next."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from shared import migrations
from shared.faults import fault_point
from shared.http import Routes
from shared.lease import LENGTH
from shared.migrations import DONE, Migration, in_order, migrate, rewrite
from shared.reactions import Reactions
from shared.service import Service
from shared.store import connect
from shared.testing import Harness, harness
from shared.unit import Database, Document, Unit

OLD, EACH = 1_200, 5


class Person(Document):
    """Version 2: `tags` were one text, `tag`, before."""

    collection = "people"

    tags: list[str] = []


def several(row: dict[str, Any]) -> dict[str, Any]:
    tag = row.pop("tag")
    return row | {"tags": [tag]}


async def several_tags(db: Database) -> None:
    await rewrite(db, "people", {"tag": {"$exists": True}}, several)


async def count_them(db: Database) -> None:
    """A step that relies on the one before."""
    assert await db["people"].count_documents({"tag": {"$exists": True}}) == 0
    await db["sums"].replace_one({"_id": "people"}, {"n": await db["people"].count_documents({})}, upsert=True)
    fault_point("after_step")


STEPS = (Migration(1, "several tags", several_tags), Migration(2, "a sum of them", count_them))


@pytest.fixture
async def aged(mongo_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Harness]:
    """A database as version 1 left it. The service prepares itself when a test says so."""
    monkeypatch.setattr(migrations, "AGAIN_SECONDS", 0.01)
    service = Service("aged", Reactions(), Routes("aged"), [Person], migrations=STEPS)
    async with harness(service, mongo_url, database=f"test_aged_{os.getpid()}") as made:
        await made.runtime.store.db["people"].insert_many(
            [{"_id": f"{n:04}", "version": 1, "tag": f"t{n % EACH}"} for n in range(OLD)]
        )
        yield made


async def all_is_new(aged: Harness) -> None:
    people = await aged.all(Person)
    assert [(person.id, person.tags) for person in sorted(people, key=lambda person: person.id)] == [
        (f"{n:04}", [f"t{n % EACH}"]) for n in range(OLD)
    ]
    assert {person.version for person in people} == {2}
    db = aged.runtime.store.db
    assert await db["sums"].find_one({}) == {"_id": "people", "n": OLD}
    assert [row["_id"] async for row in db[DONE].find({}, sort=[("_id", 1)])] == [1, 2]


async def test_steps_are_done_before_the_service_has_its_database_and_once(aged: Harness) -> None:
    await aged.runtime._prepare()
    await all_is_new(aged)
    done = await aged.runtime.store.db[DONE].find({}).to_list()
    # What somebody writes later in the old shape is not looked for again: the step is done.
    await aged.runtime.store.db["people"].insert_one({"_id": "late", "version": 1, "tag": "x"})
    await aged.runtime._prepare()
    assert await aged.runtime.store.db["people"].count_documents({"tag": {"$exists": True}}) == 1
    assert await aged.runtime.store.db[DONE].find({}).to_list() == done


@pytest.mark.parametrize(("fault", "half"), [("mid_migration:2", 1_000), ("after_step:1", OLD)])
async def test_a_process_that_is_killed_in_the_middle_is_followed_by_another(
    aged: Harness, mongo_url: str, fault: str, half: int
) -> None:
    """As by kill -9, with half of the first step done, or the second done and not recorded."""
    db = aged.runtime.store.db
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, mongo_url, db.name), env=os.environ | {"KUAIZHAO_FAULT": fault}
    )
    assert await process.wait() == 137
    assert await db["people"].count_documents({"tags": {"$exists": True}}) == half
    assert await db[DONE].count_documents({}) == fault.startswith("after_step")
    assert await db["_leases"].find_one({"_id": "migrations"}), "the dead process still has the lease"
    waiting = asyncio.create_task(aged.runtime._prepare())
    await asyncio.sleep(0.2)
    assert await db[DONE].count_documents({}) < 2, "the lease is the dead one's until its time is over"
    aged.clock.now = datetime.now(UTC) + 2 * LENGTH  # the process that died went by the wall clock
    await waiting
    await all_is_new(aged)


async def test_two_at_once_come_to_the_same(aged: Harness) -> None:
    await asyncio.gather(*(migrate(aged.runtime.store.db, STEPS) for _ in range(3)))
    await all_is_new(aged)
    await asyncio.gather(several_tags(aged.runtime.store.db), several_tags(aged.runtime.store.db))
    await all_is_new(aged)


async def test_a_unit_that_read_the_old_shape_loses_its_race(aged: Harness) -> None:
    """A process of the version before has a document in hand while the step changes it: it reads the new one."""
    reads = 0

    async def touch(unit: Unit) -> None:
        nonlocal reads
        reads += 1
        person = await unit.get(Person, "0001")
        assert person is not None
        if reads == 1:
            await several_tags(aged.runtime.store.db)
        person.tags.append("touched")
        unit.save(person)

    await aged.runtime.store.transact(touch)
    found = await aged.get(Person, "0001")
    assert (reads, found and found.tags) == (2, ["t1", "touched"])


async def test_a_step_that_would_never_end_says_so(aged: Harness) -> None:
    with pytest.raises(ValueError, match="still matches"):
        await rewrite(aged.runtime.store.db, "people", {"tag": "t1"}, lambda row: row)


async def test_an_older_version_runs_on_a_database_that_a_newer_one_migrated(aged: Harness) -> None:
    await migrate(aged.runtime.store.db, STEPS)
    await migrate(aged.runtime.store.db, STEPS[:1])
    await all_is_new(aged)


@pytest.mark.parametrize("numbers", [(2,), (1, 3), (2, 1), (1, 1)])
def test_a_number_is_no_other_steps(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="numbered 1 to"):
        Service("aged", Reactions(), Routes("aged"), [], migrations=[Migration(n, "", several_tags) for n in numbers])
    in_order(STEPS)


async def main(mongo_url: str, database: str) -> None:
    client = connect(mongo_url)
    await migrate(client[database], STEPS)
    await client.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
