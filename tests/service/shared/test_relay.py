"""What goes to Kafka goes in an order that a reader can rely on, whoever wrote it and whoever publishes it."""

import asyncio
from collections.abc import Hashable, Sequence

import pytest

from shared.contracts.posting import GigReopened
from shared.relay import Relay
from shared.testing import Harness
from shared.unit import OutboxRow, Unit


class Log:
    """Plays Kafka: keeps what it is sent in order, and may refuse a subject. A subject lies where `at` says."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.sizes: list[int] = []
        self.at: dict[str, int] = {}
        self.holds = 100
        self.refuses = ""

    async def places(self, rows: Sequence[OutboxRow]) -> dict[str, int]:
        return {row.id: self.at.get(row.headers["ce_subject"], 0) for row in rows}

    async def send(self, place: Hashable, rows: Sequence[OutboxRow]) -> int:
        await asyncio.sleep(0)
        rows = rows[: self.holds]
        if any(row.headers["ce_subject"] == self.refuses for row in rows):
            raise ConnectionError("not now")
        self.said += [f"{row.headers['ce_subject']}:{row.headers['ce_sequence']}" for row in rows]
        self.sizes.append(len(rows))
        return len(rows)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def relay(ledger: Harness, log: Log) -> Relay:
    return Relay(ledger.runtime.store.db, log, service="ledger", tracer=ledger.runtime.tracer)


async def said(ledger: Harness, subject: str, *, after: tuple[str, ...] = ()) -> list[OutboxRow]:
    """Say something of a subject in a unit of its own; nobody publishes it yet."""

    async def say(unit: Unit) -> Unit:
        unit.publish(GigReopened(gig_id=subject, district="430102", placed=0), after=after)
        return unit

    return (await ledger.runtime.store.transact(say)).rows


async def left(ledger: Harness) -> int:
    return await ledger.runtime.store.db["_outbox"].count_documents({})


async def test_what_it_comes_after_goes_first_although_another_process_wrote_it(
    ledger: Harness, relay: Relay, log: Log
) -> None:
    await said(ledger, "first")
    await said(ledger, "first")
    await said(ledger, "second", after=("first",))
    last = await said(ledger, "third", after=("second", "nothing-was-said-of-this"))
    await relay._publish(last)
    assert log.said == ["first:1", "first:2", "second:1", "third:1"]
    assert await left(ledger) == 0


async def test_the_order_holds_when_all_are_at_hand_at_once(ledger: Harness, relay: Relay, log: Log) -> None:
    rows = [*await said(ledger, "first"), *await said(ledger, "second", after=("first",))]
    await relay._publish(reversed(rows))
    assert log.said == ["first:1", "second:1"]


async def test_what_others_wrote_and_nothing_comes_after_is_theirs(ledger: Harness, relay: Relay, log: Log) -> None:
    await said(ledger, "other")
    await relay._publish(await said(ledger, "own"))
    assert (log.said, await left(ledger)) == (["own:1"], 1)


async def test_nothing_goes_before_what_could_not_go(ledger: Harness, relay: Relay, log: Log) -> None:
    await said(ledger, "first")
    rows = await said(ledger, "second", after=("first",))
    log.refuses = "first"
    with pytest.raises(ConnectionError):
        await relay._publish(rows)
    assert (log.said, await left(ledger)) == ([], 2)
    log.refuses = ""
    await relay._publish(rows)
    assert (log.said, await left(ledger)) == (["first:1", "second:1"], 0)


async def test_between_partitions_what_comes_after_waits_for_the_answer(
    ledger: Harness, relay: Relay, log: Log
) -> None:
    log.at = {"first": 1, "second": 2}
    rows = [*await said(ledger, "second", after=("first",)), *await said(ledger, "third", after=("second",))]
    log.refuses = "first"
    await said(ledger, "first")
    with pytest.raises(ConnectionError):
        await relay._publish(rows)
    assert (log.said, await left(ledger)) == ([], 3)
    log.refuses = ""
    await relay._publish(rows)
    assert (log.said, log.sizes, await left(ledger)) == (["first:1", "second:1", "third:1"], [1, 1, 1], 0)


async def test_a_partition_that_takes_nothing_holds_up_no_other(ledger: Harness, relay: Relay, log: Log) -> None:
    log.at, log.refuses = {"far": 1}, "far"
    rows = [*await said(ledger, "far"), *await said(ledger, "near")]
    with pytest.raises(ConnectionError):
        await relay._publish(rows)
    assert (log.said, await left(ledger)) == (["near:1"], 1)


async def test_what_does_not_fit_into_a_batch_goes_with_the_next(ledger: Harness, relay: Relay, log: Log) -> None:
    log.holds = 2
    rows = [row for _ in range(5) for row in await said(ledger, "one")]
    await relay._publish(reversed(rows))
    assert (log.said, log.sizes) == ([f"one:{n}" for n in range(1, 6)], [2, 2, 1])


async def test_streams_that_come_after_each_other_go_all_the_same(ledger: Harness, relay: Relay, log: Log) -> None:
    await said(ledger, "one", after=("two",))
    await relay._publish(await said(ledger, "two", after=("one",)))
    assert (sorted(log.said), await left(ledger)) == (["one:1", "two:1"], 0)
