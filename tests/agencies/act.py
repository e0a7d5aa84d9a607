"""What agencies do on a market of ours: four read it from the beginning, and four that come when that is gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from deploy.agencies.access import Granted, grant
from deploy.agencies.snapshots import Copied, copy_all
from deploy.topics import SNAPSHOT
from tests.agencies.samples import SAMPLES
from tests.agencies.world import EVERY_TOPIC, OPEN_TOPICS, Broker, Told, broker, market, of_tomorrow
from tests.contract.rules import personal_values
from tests.service.workers.conftest import NAME, id_number

READER = "01a199d7-9100-7c2a-8f10-000000000001"
SECRETS = (NAME, "测试联系人", *(id_number(n) for n in (1, 41, 81)))
"""Of the people of this market: what no event may hold."""

Ended = dict[str, tuple[int, str]]
"""By language: how many events a subscriber read, and its hash."""


@dataclass
class Scene:
    """The market and its broker as the act has left them, and what came of it.

    `owners` are the hashes by the services' own databases, when the first subscribers read and when the late ones did;
    `standing` is how many gigs and placements those then were of.
    """

    broker: Broker
    market: Told
    reader: Granted
    owners: tuple[str, str]
    standing: tuple[int, int]
    from_the_beginning: Ended
    late: Ended
    late_without_snapshots: Ended
    copied: dict[str, Copied]
    compacted: tuple[int, int]
    forgotten: int
    personal: list[str]


async def _read(broker: Broker, reader: Granted, topics: tuple[str, ...], *languages: str) -> Ended:
    """Those of the samples that can run here, side by side; all, or these."""
    able = [each for each in SAMPLES if not each.missing() and (each.language in languages or not languages)]
    ended = await asyncio.gather(*(each.run(broker.theirs, topics, reader.user, reader.password) for each in able))
    return {each.language: end for each, end in zip(able, ended, strict=True)}


async def personal_data(broker: Broker) -> list[str]:
    """Where anything that agencies can read of the open topics looks like, or is, a person's."""
    found = []
    for record in await broker.records(*EVERY_TOPIC):
        place = f"{record.topic}:{record.partition}:{record.offset}"
        found += [f"{place} {fault}" for fault in personal_values(orjson.loads(record.value))]
        whole = b"\n".join(
            part for part in (record.key, record.value, *(value for _, value in record.headers)) if part is not None
        )
        found += [
            f"{place} holds a secret"
            for secret in SECRETS
            if any(text in whole for text in (secret.encode(), orjson.dumps(secret)[1:-1]))
        ]
    return found


@asynccontextmanager
async def act(folder: Path, mongo_url: str) -> AsyncIterator[Scene]:
    """Play it; the broker and the market are there until the block ends."""
    await asyncio.gather(*(sample.ready() for sample in SAMPLES if not sample.missing()))
    async with broker(folder) as kafka, market(mongo_url, f"agencies_{folder.name.replace('-', '_')}"[:30]) as told:
        reader = await asyncio.to_thread(grant, kafka.ours, READER, OPEN_TOPICS)
        await told.half(0)
        first = told.said()
        await kafka.say([*first, *of_tomorrow(first[::7]), *first[:40]])  # and some of it twice, as after a crash
        await told.half(1)
        second = told.said()[len(first) :]
        await kafka.say(of_tomorrow(second))
        owner = await told.digest()
        whole = await _read(kafka, reader, OPEN_TOPICS)
        personal = await personal_data(kafka)

        copied = await copy_all(kafka.ours)
        compacted = await kafka.compact(*(topic + SNAPSHOT for topic in OPEN_TOPICS))
        forgotten = await kafka.forget(*OPEN_TOPICS)
        await told.half(2)
        await kafka.say(told.said()[len(first) + len(second) :])
        late_owner = await told.digest()
        late = await _read(kafka, reader, EVERY_TOPIC)
        without = await _read(kafka, reader, OPEN_TOPICS, "python")
        personal += await personal_data(kafka)
        yield Scene(
            broker=kafka,
            market=told,
            reader=reader,
            owners=(owner, late_owner),
            standing=await told.standing(),
            from_the_beginning=whole,
            late=late,
            late_without_snapshots=without,
            copied=copied,
            compacted=compacted,
            forgotten=forgotten,
            personal=personal,
        )
