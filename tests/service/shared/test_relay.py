"""What goes to Kafka goes in an order that a reader can rely on, whoever wrote it and whoever publishes it."""

import asyncio

import pytest

from shared.contracts.posting import GigReopened
from shared.relay import Relay
from shared.testing import Harness
from shared.unit import OutboxRow, Unit


class Log:
    """Plays Kafka: keeps what it is sent in order, and may refuse a subject."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.refuses = ""

    async def send(self, row: OutboxRow, headers: dict[str, str]) -> None:
        await asyncio.sleep(0)
        subject = headers["ce_subject"]
        if subject == self.refuses:
            raise ConnectionError("not now")
        self.said.append(f"{subject}:{headers['ce_sequence']}")


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
    with pytest.raises(ExceptionGroup):
        await relay._publish(rows)
    assert (log.said, await left(ledger)) == ([], 2)
    log.refuses = ""
    await relay._publish(rows)
    assert (log.said, await left(ledger)) == (["first:1", "second:1"], 0)
