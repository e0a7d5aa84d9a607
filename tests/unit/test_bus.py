"""What the consumer makes of offsets that are missing: an event is passed over only when Kafka has it no more."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from prometheus_client import REGISTRY

from shared.broker import Broker
from shared.bus import Bus
from shared.delivery import Letter
from shared.reactions import Reactions

PLACE = TopicPartition("posting.gig", 2)


class Consumer:
    def __init__(self) -> None:
        self.assigned, self.sought = {PLACE}, list[int]()
        self.end: int | None = None

    def assignment(self) -> set[TopicPartition]:
        return self.assigned

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(PLACE.partition + 1)) if topic == PLACE.topic else set()

    def highwater(self, place: TopicPartition) -> int | None:
        return self.end

    def seek(self, place: TopicPartition, offset: int) -> None:
        assert place in self.assigned
        self.sought.append(offset)


class Delivery:
    """Remembers what was handed over; the partition is at offset 0."""

    def __init__(self) -> None:
        self.handled: list[int] = []

    async def fence(self, name: str) -> int:
        return 0

    async def deliver(self, fence: str, expected: int, letters: Sequence[Letter], *, ours: Callable[[], bool]) -> int:
        self.handled += [letter.offset for letter in letters]
        return letters[-1].offset + 1


class Fuse:
    blown = False

    def count(self, dead: int, handled: int) -> None: ...


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    made = Consumer()
    monkeypatch.setattr(Bus, "_consumer", made)
    return made


def letters(*offsets: int) -> list[Letter]:
    return [Letter(PLACE.topic, PLACE.partition, offset, b"", {}, b"") for offset in offsets]


def bus(delivery: Any) -> Bus:
    fuse: Any = Fuse()
    return Bus(Broker("127.0.0.1:1"), delivery, Reactions(), fuse, service="ledger", drain_seconds=1)


async def test_what_is_missing_is_asked_for_again_and_then_believed(consumer: Consumer) -> None:
    delivery = Delivery()
    ours = bus(delivery)
    await ours._handle(PLACE, letters(5, 6))
    assert (delivery.handled, consumer.sought) == ([], [0, 0])
    await ours._handle(PLACE, letters(5, 6))
    assert delivery.handled == [5, 6]


async def test_an_answer_that_a_rebalance_took_away_is_not_believed(consumer: Consumer) -> None:
    delivery = Delivery()
    ours = bus(delivery)
    await ours._handle(PLACE, letters(5, 6))
    ours._generation += 1  # the batch that held 0 to 4 was dropped
    await ours._handle(PLACE, letters(5, 6))
    assert delivery.handled == []
    await ours._handle(PLACE, letters(0, 1))
    assert delivery.handled == [0, 1]


async def test_who_does_not_hold_the_partition_has_not_asked(consumer: Consumer) -> None:
    delivery = Delivery()
    ours = bus(delivery)
    consumer.assigned = set()
    for _ in range(3):
        await ours._handle(PLACE, letters(5, 6))
    assert delivery.handled == []


async def test_a_batch_that_comes_while_it_stops_is_left_to_others(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FastStream hands over what it has fetched until it is stopped, and our database is closed soon after."""
    record = SimpleNamespace(topic=PLACE.topic, partition=PLACE.partition, offset=0, key=b"", value=b"", headers=())
    message: Any = SimpleNamespace(raw_message=(record,))
    delivery = Delivery()
    ours = bus(delivery)
    monkeypatch.setattr(ours.broker, "stop", partial(asyncio.sleep, 0))
    monkeypatch.setattr(ours, "_commit", partial(asyncio.sleep, 0))
    await ours.stop(1)
    await ours._receive(message)
    assert delivery.handled == []
    await bus(delivery)._receive(message)
    assert delivery.handled == [0]


async def test_it_knows_what_waits_in_the_partition_of_a_key(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.bus._PARTITIONER", lambda key, *_: PLACE.partition if key == b"here" else 0)
    ours = bus(Delivery())
    assert not ours.owns(PLACE.topic, "here")
    assert ours.stands(PLACE.topic, "here") == (0, 0)
    await ours._handle(PLACE, letters(0, 1))
    assert ours.owns(PLACE.topic, "here")
    assert ours.stands(PLACE.topic, "here") == (2, 2)  # nothing is known of the end yet
    consumer.end = 5
    assert [ours.stands(PLACE.topic, key) for key in ("here", "there")] == [(2, 5), (0, 0)]
    consumer.assigned = set()
    assert ours.stands(PLACE.topic, "here") == (2, 2)
    assert ours.stands("another.topic", "here") == (0, 0)


async def test_the_lag_of_what_is_given_away_is_told_no_more(consumer: Consumer) -> None:
    labels = {"service": "ledger", "topic": PLACE.topic, "partition": str(PLACE.partition)}
    ours, consumer.end = bus(Delivery()), 9
    ours._next[PLACE] = 4
    ours._lag()
    assert REGISTRY.get_sample_value("kuaizhao_consumer_lag", labels) == 5
    ours._next[PLACE] = 0  # nothing to commit
    await ours.on_partitions_revoked({PLACE})
    assert REGISTRY.get_sample_value("kuaizhao_consumer_lag", labels) is None
