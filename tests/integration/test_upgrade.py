"""Versions N and N+1 of a service side by side on one topic, and each with the other's events: nothing goes wrong."""

import signal
from collections import defaultdict
from itertools import count
from typing import Any

import orjson

from shared import clock
from shared.unit import outbox_row
from tests.integration.test_delivery import (
    DEAD,
    IN,
    World,
    ends,
    read_all,
    until,
    world,  # noqa: F401 - a fixture
)
from tests.ledger import filled

N, NEXT = "tests.integration.builds.older", "tests.integration.builds.newer"
GIGS = 7


async def send(world: World, numbers: Any) -> None:  # noqa: F811
    """One event for each gig as a publisher of build N says it, and one as N+1 does: with who it was."""
    for n in range(GIGS):
        for by in (None, "ann"):
            row = outbox_row(
                filled(f"g{n}", next(numbers), f"43010{n + 1}"), clock.new_id(), 1, "test", clock.now(), {}
            )
            body = orjson.dumps(orjson.loads(row.body) | ({"by": by} if by else {}))
            await world.raw(body, {name: value.encode() for name, value in row.headers.items()}, row.key)


async def said(world: World) -> dict[str, dict[int, tuple[str, dict[str, Any]]]]:  # noqa: F811
    """What the ledger said of each gig, by number: the type and the body."""
    found: dict[str, dict[int, tuple[str, dict[str, Any]]]] = defaultdict(dict)
    for record in await read_all(world.kafka, IN, world.begin):
        headers = {name: value.decode() for name, value in record.headers}
        if headers["ce_source"] == "/ledger":
            found[headers["ce_subject"]][int(headers["ce_sequence"])] = (headers["ce_type"], orjson.loads(record.value))
    return found


async def test_n_and_its_next_side_by_side(world: World) -> None:  # noqa: F811
    """A rolling upgrade, slowly: N alone, both, N+1 alone. Publishers of both versions all the time."""
    numbers = count(1)
    rounds = 0

    async def one_more_round() -> None:
        nonlocal rounds
        await send(world, numbers)
        rounds += 1
        await world.all_heard({f"g{n}": 2 * rounds for n in range(GIGS)})

    old = await world.start(build=N)
    await one_more_round()
    await world.start(build=NEXT)

    async def both_have_some() -> bool:
        await one_more_round()
        types = [type_ for gig in (await said(world)).values() for type_, _ in list(gig.values())[-2:]]
        return len(set(types)) == 2 and types.count("posting.gig-reopened.v2") < GIGS

    await until(both_have_some, "each build holds partitions")
    for _ in range(3):
        await one_more_round()
    old.send_signal(signal.SIGTERM)
    await old.wait()
    await one_more_round()

    heard, whole = 2 * rounds, await said(world)
    v2 = 0
    for n in range(GIGS):
        gig = whole[f"g{n}"]
        assert list(gig) == list(range(1, len(gig) + 1)), "numbers without a gap, in order, whoever gave them"
        first = [body["placed"] for type_, body in gig.values() if type_ == "posting.gig-reopened.v1"]
        second = [body["placed"] for type_, body in gig.values() if type_ == "posting.gig-reopened.v2"]
        assert first == list(range(1, heard + 1)), "v1 of each, by either build: its readers miss nothing"
        assert set(second) <= set(first)
        assert second[-2:] == first[-2:], "the end was said by N+1 alone"
        v2 += len(second)
    assert 0 < v2 < GIGS * heard
    named = await world.store.db["named"].find_one({"_id": "ann"})
    assert named
    assert named["heard"] * 2 == v2, "N+1 read the field in each second event it had, N passed it over"
    assert await world.store.db["_dead"].count_documents({}) == 0
    assert (await ends(world.kafka, DEAD)).items() <= world.begin.items()
