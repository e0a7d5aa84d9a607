"""Compacted copies of topics, for who comes late: `python -m deploy.agencies.snapshots` brings them up to date once.

A copy has, of each subject, the latest event of each type, as it was said. An event says what is, not what is added, so
these in the order of their `ce_sequence` come to the same state as all of them. Each run copies what was said since the
last, as the copy itself tells. It may be killed, frozen or run twice at once: docs/decisions/0110.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from deploy.asked import asked_of
from deploy.topics import SNAPSHOT, read
from shared.broker import Broker
from shared.bus import log_bounds

OFFSET = "copied_offset"
"""The header of a copy that tells where in its partition the original stands."""
SILENCE_SECONDS = 60.0

Key = tuple[str, str]
"""Subject and type."""


class NotCopied(Exception):
    """It cannot be done. The text is one clear line."""


@dataclass
class Copied:
    """What one run did: events copied, events that had been overtaken by an older one and were written again, gaps."""

    events: int
    mended: int
    gaps: list[str]


@dataclass
class _Copy:
    """What a copy holds: where its original goes on, by partition, and the sequence of each key's latest event."""

    next: dict[int, int]
    newest: dict[Key, int]
    overtaken: set[Key]


async def copy(kafka: Broker, topic: str) -> Copied:
    """Bring the compacted copy of a topic up to the topic's present end.

    Raises:
        NotCopied: the copy is not provisioned.
        ConnectionError: Kafka does not answer.
    """
    bounds = await log_bounds(kafka, [topic])
    copied = await log_bounds(kafka, [topic + SNAPSHOT])
    if len(copied) != len(bounds) or not bounds:
        raise NotCopied(f"{topic}{SNAPSHOT} is not there with the partitions of {topic}: run `python -m deploy.topics`")
    known = await _look(kafka, topic + SNAPSHOT)
    gaps = [
        f"{topic}[{partition}]: events {known.next[partition]} to {begin - 1} were deleted before they were copied"
        for (_, partition), (begin, _) in sorted(bounds.items())
        if known.next.get(partition, begin) < begin
    ]
    done = Copied(0, 0, gaps)
    producer = AIOKafkaProducer(**kafka.options, acks="all", compression_type="lz4")
    try:
        await producer.start()
        async for record in records_of(kafka, topic, known.next):
            if await _write(producer, topic, record, known.newest, record.offset):
                done.events += 1
        if known.overtaken:
            async for record in _best(kafka, topic + SNAPSHOT, known.overtaken):
                await _send(producer, topic, record, int(_headers(record)[OFFSET]))
                done.mended += 1
        await producer.flush()
    except KafkaError as error:
        raise ConnectionError(str(error) or type(error).__name__) from error
    finally:
        await producer.stop()
    return done


async def _look(kafka: Broker, copy: str) -> _Copy:
    known = _Copy({}, {}, set())
    async for record in records_of(kafka, copy, {}):
        headers = _headers(record)
        key, sequence = _key(headers), int(headers["ce_sequence"])
        known.next[record.partition] = max(known.next.get(record.partition, 0), int(headers[OFFSET]) + 1)
        # Kafka will keep the one that stands last; where that is an older one, the newer is written again.
        if sequence < known.newest.get(key, 0):
            known.overtaken.add(key)
        else:
            known.newest[key] = sequence
            known.overtaken.discard(key)
    return known


async def _best(kafka: Broker, copy: str, keys: set[Key]) -> AsyncIterator[Any]:
    """The newest event of each of these keys."""
    best: dict[Key, Any] = {}
    async for record in records_of(kafka, copy, {}):
        key = _key(_headers(record))
        if key in keys and (key not in best or _sequence(record) >= _sequence(best[key])):
            best[key] = record
    for record in best.values():
        yield record


async def _write(producer: AIOKafkaProducer, topic: str, record: Any, newest: dict[Key, int], offset: int) -> bool:
    """Copy an event, unless the copy has it or a newer one of its key, or it is no event at all."""
    headers = _headers(record)
    if not headers.get("ce_sequence", "").isdecimal() or not headers.get("ce_subject") or not headers.get("ce_type"):
        return False
    key, sequence = _key(headers), int(headers["ce_sequence"])
    if sequence <= newest.get(key, 0):
        return False
    newest[key] = sequence
    await _send(producer, topic, record, offset)
    return True


async def _send(producer: AIOKafkaProducer, topic: str, record: Any, offset: int) -> None:
    subject, type_ = _key(_headers(record))
    kept = [(name, value) for name, value in record.headers if name != OFFSET]
    await producer.send(
        topic + SNAPSHOT,
        record.value,
        key=f"{subject} {type_}".encode(),
        partition=record.partition,
        headers=[*kept, (OFFSET, str(offset).encode())],
    )


async def records_of(kafka: Broker, topic: str, start: Mapping[int, int]) -> AsyncIterator[Any]:
    """A topic's records up to its present end: partition by partition from `start`, or from the beginning."""
    bounds = {
        TopicPartition(topic, partition): (max(begin, start.get(partition, begin)), end)
        for (_, partition), (begin, end) in (await log_bounds(kafka, [topic])).items()
    }
    ends = {place: end for place, (begin, end) in bounds.items() if begin < end}
    if not ends:
        return
    consumer = AIOKafkaConsumer(**kafka.options, enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await consumer.start()
        consumer.assign(list(ends))
        for place in ends:
            consumer.seek(place, bounds[place][0])
        while ends:
            async with asyncio.timeout(SILENCE_SECONDS):
                found = await consumer.getmany(*ends, timeout_ms=500)
            for place, records in found.items():
                for record in records:
                    if record.offset < ends[place]:
                        yield record
            ends = {place: end for place, end in ends.items() if await consumer.position(place) < end}
    except (KafkaError, TimeoutError) as error:
        raise ConnectionError(str(error) or f"{topic} could not be read") from error
    finally:
        await consumer.stop()


def _headers(record: Any) -> dict[str, str]:
    return {name: (value or b"").decode(errors="replace") for name, value in record.headers}


def _key(headers: Mapping[str, str]) -> Key:
    return headers["ce_subject"], headers["ce_type"]


def _sequence(record: Any) -> int:
    return int(_headers(record)["ce_sequence"])


async def copy_all(kafka: Broker) -> dict[str, Copied]:
    """Bring all copies up to date; what was done, by topic."""
    return {topic.name: await copy(kafka, topic.name) for topic in read() if topic.snapshot}


def main() -> int:
    parser = argparse.ArgumentParser(description="Bring the compacted copies of topics up to date.")
    try:
        done = asyncio.run(copy_all(asked_of(parser)[1]))
    except (NotCopied, ConnectionError) as error:
        print(f"snapshots: {error}", file=sys.stderr)
        return 1
    for topic, each in done.items():
        print(f"snapshots: {topic}: {each.events} copied, {each.mended} mended")
        for gap in each.gaps:
            print(f"snapshots: {gap}: run it more often", file=sys.stderr)
    return 1 if any(each.gaps for each in done.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
