"""Durable timers: once each, whoever looks, whenever they are found."""

import asyncio

from shared.testing import Harness
from shared.unit import Timer, Unit
from tests.ledger import Count


async def bells(ledger: Harness, subject: str) -> int:
    found = await ledger.get(Count, subject)
    return found.rung if found else 0


async def test_a_timer_fires_at_its_time_and_once(ledger: Harness) -> None:
    await ledger.http.post("/bells/b", params={"seconds": 60})
    await ledger.later(seconds=59.999)
    assert await bells(ledger, "b") == 0
    await ledger.later(seconds=0.001)
    await ledger.later(hours=1)
    assert await bells(ledger, "b") == 1


async def test_setting_a_timer_again_moves_it_and_cancelling_ends_it(ledger: Harness) -> None:
    await ledger.http.post("/bells/b", params={"seconds": 60})
    await ledger.http.post("/bells/b", params={"seconds": 120})
    await ledger.later(seconds=60)
    assert await bells(ledger, "b") == 0
    await ledger.http.delete("/bells/b")
    await ledger.later(seconds=120)
    assert await bells(ledger, "b") == 0


async def test_two_processes_that_find_a_timer_fire_it_once(ledger: Harness) -> None:
    await ledger.http.post("/bells/b", params={"seconds": 0})
    row = await ledger.runtime.store.db["_timers"].find_one({})
    assert row is not None
    timer = Timer.model_validate({"id": row["_id"], **row})
    fired = await asyncio.gather(*(ledger.runtime.delivery.fire(timer) for _ in range(5)))
    assert sorted(fired) == [False, False, False, False, True]
    assert await bells(ledger, "b") == 1


async def test_a_timer_that_fails_is_tried_again_later(ledger: Harness) -> None:
    async def unknown(unit: Unit) -> None:
        unit.set_timer("no-such-timer", "x", unit.now)

    await ledger.runtime.store.transact(unknown)
    await ledger.later(seconds=1)
    row = await ledger.runtime.store.db["_timers"].find_one({})
    assert row is not None
    assert row["due_at"] > ledger.clock.now
