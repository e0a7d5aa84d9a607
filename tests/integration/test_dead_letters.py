"""An operator's day on a real broker: an event fails, what waits behind it waits, and all is set right from outside."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.posting import GigReopened
from shared.fuse import LEAST
from tests.integration.test_delivery import (
    IN,
    World,
    read_all,
    until,
    world,  # noqa: F401 - a fixture
)
from tests.ledger import Count, filled

pytestmark = pytest.mark.feature("F13")

KUAIZHAO = Path(__file__).parents[2] / "kuaizhao"


async def kuaizhao(at: World, *arguments: str) -> tuple[int, str]:
    """The command in a process of its own; its exit code and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        KUAIZHAO,
        *arguments,
        env={
            **os.environ,
            "KUAIZHAO_KAFKA": at.kafka,
            "KUAIZHAO_MONGO_URL": at.mongo_url,
            "KUAIZHAO_DATABASE": at.database,
            "LANG": "C.UTF-8",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def said_of(at: World, gig: str) -> list[tuple[int, int]]:
    """What the topic holds of a gig: each event's number and figure, in order."""
    found = {}
    for record in await read_all(at.kafka, IN, at.begin):
        headers = {name: value.decode() for name, value in record.headers if value}
        if headers.get("ce_type") == GigReopened.type and headers["ce_subject"] == gig:
            said = GigReopened.model_validate_json(record.value)
            found[headers["ce_id"]] = (int(headers["ce_sequence"]), said.placed)
    return list(found.values())


async def state_of(at: World, gig: str) -> dict[str, Any]:
    found = await at.store.reading().get(Count, gig)
    assert found is not None
    return found.model_dump(exclude={"id", "version"})


async def test_a_stream_that_failed_is_redriven_to_where_it_would_have_been(world: World) -> None:  # noqa: F811
    """A document was damaged by hand: its subject's events wait, another's do not. Redriven, both are equal."""
    db = world.store.db
    await db["counts"].insert_one({"_id": "bad", "version": 1, "heard": "many"})
    await world.send(filled("bad", 1), filled("twin", 1), filled("bad", 2), filled("twin", 2))
    await world.start()
    await world.send(filled("bad", 3), filled("twin", 3))

    async def three_wait() -> bool:
        twin = await db["counts"].find_one({"_id": "twin"}) or {}
        return await db["_dead"].count_documents({}) == 3 and twin.get("heard") == 3

    await until(three_wait, "three letters of the one set aside, three of the other handled")
    code, listed = await kuaizhao(world, "dead", "list", "tests.ledger")
    rows = [line.split() for line in listed.splitlines()[1:]]
    assert (code, [(row[2], row[4]) for row in rows]) == (0, [("failed", "bad"), ("parked", "bad"), ("parked", "bad")])

    assert (await kuaizhao(world, "dead", "redrive", "tests.ledger", rows[0][1]))[0] == 1, "it is not mended yet"
    assert await db["_dead"].count_documents({"kind": "parked"}) == 2
    await db["counts"].delete_one({"_id": "bad"})
    assert await kuaizhao(world, "dead", "redrive", "tests.ledger", rows[0][1]) == (0, "ledger: 3 handled\n")
    await world.send(filled("bad", 4), filled("twin", 4))

    async def all_said() -> bool:
        return [len(await said_of(world, gig)) for gig in ("bad", "twin")] == [4, 4] and not await world.waiting()

    await until(all_said, "four events of each heard and said")
    assert await state_of(world, "bad") == await state_of(world, "twin")
    assert (await state_of(world, "bad"))["order"] == [1, 2, 3, 4]
    assert await said_of(world, "bad") == await said_of(world, "twin") == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert [row["what"] async for row in db["_audit"].find({})] == ["redrive", "redrive"]

    async def none_behind() -> bool:
        return (await kuaizhao(world, "lag", "tests.ledger", "--fail-above", "0"))[0] == 0

    await until(none_behind, "no lag")


async def test_a_blown_fuse_outlives_a_restart_until_it_is_reset(world: World) -> None:  # noqa: F811
    await world.start()
    poison: dict[str, bytes | None] = {"ce_type": b"posting.gig-filled.v1", "ce_subject": b"g"}
    for n in range(LEAST):
        await world.raw(b"{", poison | {"ce_id": str(n).encode()})

    async def blown() -> bool:
        return bool(await world.store.db["_fuses"].find_one({"_id": "ledger"}))

    await until(blown, "a blown fuse")
    world.running[0].send_signal(signal.SIGKILL)
    await world.running[0].wait()
    await world.send(filled("after"))
    await world.start()
    await world.start()

    async def is_behind() -> bool:
        return "lag 1 is above 0" in (await kuaizhao(world, "lag", "tests.ledger", "--fail-above", "0"))[1]

    await until(is_behind, "one event behind")
    assert await world.heard() == {}
    assert (await kuaizhao(world, "fuse", "reset", "tests.ledger"))[0] == 0
    await world.all_heard({"after": 1})
    code, listed = await kuaizhao(world, "lag", "tests.ledger")
    assert (code, listed.splitlines()[1].split()[-3:]) == (0, [str(LEAST), "0", "whole"])
