"""What must hold after faults, read from the full topics and the databases.

Nothing lost, nothing doubled, no gig overfilled, no worker in two places.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer
from pymongo import AsyncMongoClient

from shared.contracts import Event, catalogue
from shared.contracts.matching import PlacementCancelled, PlacementMade
from shared.contracts.posting import GigAmended, GigPosted
from shared.contracts.rights import AgreementMade
from shared.contracts.terms import Period
from tests.e2e.journey import Story

ONCE = (GigPosted, PlacementMade, AgreementMade)
"""Events of which a subject has exactly one."""


@dataclass(frozen=True)
class Said:
    """One event of the log, repeats of the same event id taken away."""

    topic: str
    sequence: int
    subject: str
    event: Event


@dataclass
class Report:
    """What was found wrong, one line each, by kind."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    overfilled: list[str] = field(default_factory=list)
    overlaps: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.overfilled or self.overlaps)

    def line(self, kills: int) -> str:
        return (
            f"chaos: kills={kills} lost={len(self.lost)} doubled={len(self.doubled)} "
            f"overfilled={len(self.overfilled)} overlaps={len(self.overlaps)}"
        )


async def read_log(kafka: str) -> list[Said]:
    """Every event of every open topic, in the order of each partition."""
    kinds = catalogue()
    topics = sorted({kind.topic for kind in kinds.values()})
    consumer = AIOKafkaConsumer(
        *topics, bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        await consumer.seek_to_beginning()
        seen: set[str] = set()
        said = []
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    headers = {name: value.decode() for name, value in record.headers}
                    if headers["ce_id"] in seen:
                        continue
                    seen.add(headers["ce_id"])
                    event = kinds[headers["ce_type"]].model_validate_json(record.value)
                    said.append(Said(record.topic, int(headers["ce_sequence"]), headers["ce_subject"], event))
        return said
    finally:
        await consumer.stop()


def check_log(log: Iterable[Said], report: Report) -> None:
    """Sequences without gap or inversion, once what is once, and at every prefix seats and hours kept."""
    last: dict[tuple[str, str], int] = {}
    times: Counter[tuple[str, str]] = Counter()
    headcount: dict[str, int] = {}
    seats: defaultdict[str, set[str]] = defaultdict(set)
    shifts: defaultdict[str, dict[str, Period]] = defaultdict(dict)
    log = list(log)
    for said in log:
        if isinstance(said.event, GigPosted | GigAmended):
            # Placements travel on another topic; what they may not exceed is the most that was ever posted.
            headcount[said.subject] = max(headcount.get(said.subject, 0), said.event.terms.headcount)
    for said in log:
        stream, event = (said.topic, said.subject), said.event
        if said.sequence != last.get(stream, 0) + 1:
            report.lost.append(f"{stream}: {said.sequence} after {last.get(stream, 0)}")
        last[stream] = said.sequence
        if isinstance(event, ONCE):
            times[event.type, said.subject] += 1
        if isinstance(event, PlacementMade):
            seats[event.gig_id].add(event.placement_id)
            if len(seats[event.gig_id]) > headcount.get(event.gig_id, 0):
                report.overfilled.append(f"gig {event.gig_id}: {len(seats[event.gig_id])} placements")
            for other, period in shifts[event.worker_id].items():
                if period.overlaps(event.terms.period):
                    report.overlaps.append(f"worker {event.worker_id}: {other} and {event.placement_id}")
            shifts[event.worker_id][event.placement_id] = event.terms.period
        if isinstance(event, PlacementCancelled):
            seats[event.gig_id].discard(event.placement_id)
            shifts[event.worker_id].pop(event.placement_id, None)
    report.doubled += [f"{type_} of {subject}: {n} times" for (type_, subject), n in times.items() if n > 1]


async def check_effects(mongo_url: str, log: Iterable[Said], stories: Iterable[Story], report: Report) -> None:
    """Every placement that a client was told of has its event, its agreement, its cover and its message, once each."""
    placed = {said.subject for said in log if isinstance(said.event, PlacementMade)}
    posted = {said.subject for said in log if isinstance(said.event, GigPosted)}
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongo_url)
    try:
        for story in stories:
            if story.gig_id not in posted:
                report.lost.append(f"gig {story.gig_id} has no event")
            if story.placement_id not in placed:
                report.lost.append(f"placement {story.placement_id} has no event")
        for database, collection, query in (
            ("rights", "agreements", "_id"),
            ("rights", "covers", "_id"),
            ("notify", "messages", "refs.placement_id"),
        ):
            for placement in placed:
                extra = {"kind": "placement-made", "part": "worker"} if database == "notify" else {}
                n = await client[database][collection].count_documents({query: placement} | extra)
                where = f"{database}.{collection} of placement {placement}"
                if n == 0:
                    report.lost.append(where)
                if n > 1:
                    report.doubled.append(f"{where}: {n}")
        for database in ("posting", "workers", "matching", "rights", "notify"):
            waiting = await client[database]["_outbox"].count_documents({})
            dead = await client[database]["_dead"].count_documents({})
            if waiting or dead:
                report.lost.append(f"{database}: {waiting} unpublished, {dead} dead letters")
    finally:
        await client.close()
