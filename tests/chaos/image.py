"""All that is left of a run, as the checker sees it: the whole log, the databases, what the clients know."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from pymongo import AsyncMongoClient

from deploy.topics import read
from shared.broker import Broker
from shared.bus import log_bounds
from tests.chaos.faults import ECHO, POISONED
from tests.chaos.history import History

Row = Mapping[str, Any]

KEPT = {
    "identity": ("_outbox",),
    "posting": ("employers", "gigs", "placements", "_timers"),
    "workers": ("workers", "presences", "blocks", "_timers"),
    "matching": ("gigs", "seats", "waiting", "profiles", "blocks", "commitments", "offers", "placements", "_timers"),
    "rights": ("agreements", "covers", "shifts", "timesheets", "payments", "cancellations", "_timers"),
    "notify": ("messages", "mailboxes", "deliveries", "gigs", "standings", "_timers"),
}
"""The collections that are compared, by database."""
OWN = ("_outbox", "_dead", "_blocked", "_fences", "_fuses", "_streams")
SILENCE_SECONDS = 120.0
"""Kafka has something that it does not give: no reading waits for ever."""
LARGE = {"matching": {"reasons": 0, "trace": 0}, "notify": {"trace": 0}}
"""What is not compared and would fill the memory of a long run."""


@dataclass
class Said:
    """One event of the log; what was published twice stands here once. `at`: when it was said, before its commit."""

    topic: str
    partition: int
    offset: int
    key: str
    id: str
    type: str
    subject: str
    sequence: int
    body: dict[str, Any]
    at: str


class Change(NamedTuple):
    """A placement of matching, and whether it stands from this commit on. Times of `period` sort as text."""

    worker: str
    placement: str
    gig: str
    seat: int
    period: tuple[str, str]
    stands: bool


@dataclass
class Image:
    """Databases are `databases[service][collection][id]`; `poison` is (topic, partition, offset) to the record's type.

    `places` says which event stands where in the log; `letters` what each dead-letter topic tells of, by place.
    `standing` are the changes of matching's placements in the order of their commits.
    """

    history: History
    log: list[Said] = field(default_factory=list)
    databases: dict[str, dict[str, dict[str, Row]]] = field(default_factory=dict)
    ends: dict[tuple[str, int], int] = field(default_factory=dict)
    poison: dict[tuple[str, int, int], str | None] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    letters: dict[str, set[str]] = field(default_factory=dict)
    inbox: dict[str, set[str]] = field(default_factory=dict)
    standing: list[Change] = field(default_factory=list)
    repeats: int = 0
    changed: list[str] = field(default_factory=list)
    """Ids of events that stand in the log twice, and not alike."""
    policies: dict[str, list[dict[str, Any]]] | None = None
    """The insurer's books by placement; None where there is no insurer."""
    turned_back: list[str] = field(default_factory=list)
    """Fences that a commit has set to an earlier offset: somebody acted on a partition that was another's by then."""

    def of(self, *types: str) -> list[Said]:
        """The events of these types, named without their version, in the order of each partition."""
        return [said for said in self.log if said.type in types]


async def take(mongo_url: str, kafka: str, history: History, insurer: str = "") -> Image:
    """Read everything there is; of the `insurer` what is in its books, at this address."""
    image = Image(history)
    if insurer:
        image.policies = defaultdict(list)
        async with httpx.AsyncClient(timeout=SILENCE_SECONDS) as http:
            for policy in (await http.get(insurer)).raise_for_status().json():
                image.policies[policy["reference"].rpartition(":")[2]].append(policy)
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongo_url)
    try:
        for service, collections in KEPT.items():
            found = image.databases[service] = {}
            for name in dict.fromkeys((*collections, *OWN)):
                rows = client[service][name].find({}, LARGE.get(service) if name in collections else None)
                found[name] = {row["_id"]: row async for row in rows}
            image.inbox[service] = {row["_id"] async for row in client[service]["_inbox"].find({}, {"_id": 1})}
        await read_commits(client, image)
    finally:
        await client.close()
    topics = read()
    await _read_log(kafka, [topic.name for topic in topics if not topic.name.endswith(".dead")], image)
    for service in KEPT:
        if any(topic.name == f"{service}.dead" for topic in topics):
            image.letters[service] = {
                _header(record, "dead_origin") or "" async for record in records(kafka, [f"{service}.dead"], {})
            }
    return image


async def _read_log(kafka: str, topics: Iterable[str], image: Image) -> None:
    seen: dict[str, int] = {}
    values: dict[bytes, Any] = {}
    async for record in records(kafka, topics, image.ends):
        key = (record.key or b"").decode(errors="replace")
        if key.startswith(POISONED.decode()):
            image.poison[record.topic, record.partition, record.offset] = _header(record, "ce_type")
            continue
        headers = {name: (value or b"").decode() for name, value in record.headers}
        id, digest = headers["ce_id"], hash((record.topic, headers["ce_subject"], record.value))
        image.places[f"{record.topic}:{record.partition}:{record.offset}"] = id
        if id in seen:
            image.repeats += ECHO not in headers
            if seen[id] != digest:
                image.changed.append(id)
            continue
        seen[id] = digest
        type_ = headers["ce_type"].partition(".")[2].rpartition(".")[0]
        sequence = int(headers["ce_sequence"])
        body = _slim(orjson.loads(record.value), values)
        at = record.topic, record.partition, record.offset
        image.log.append(Said(*at, key, id, type_, headers["ce_subject"], sequence, body, headers["ce_time"]))


def _slim(body: dict[str, Any], values: dict[bytes, Any]) -> dict[str, Any]:
    """Terms and profiles are said again and again; each is kept once. Why an offer was made is not judged here."""
    body.pop("reasons", None)
    for name in ("terms", "profile"):
        if name in body:
            body[name] = values.setdefault(orjson.dumps(body[name]), body[name])
    return body


async def records(kafka: str, topics: Iterable[str], ends: dict[tuple[str, int], int]) -> Any:
    """Every record of topics, each partition in its order; `ends` is filled with where each ends."""
    bounds = await log_bounds(Broker(kafka), list(topics))
    ends |= {place: end for place, (_, end) in bounds.items()}
    # Assigned, not subscribed: a subscription is given its partitions anew when metadata change, and then waits at
    # their ends for ever.
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition(*place) for place in bounds]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        left = {place for place in places if bounds[place][1] > bounds[place][0]}
        heard = time.monotonic()
        while left:
            for place, found in (await consumer.getmany(timeout_ms=500, max_records=5_000)).items():
                heard = time.monotonic()
                for record in found:
                    yield record
                if found and found[-1].offset >= bounds[place][1] - 1:
                    left.discard(place)
            if time.monotonic() - heard > SILENCE_SECONDS:
                raise TimeoutError(f"Kafka does not give what it has of {left}")
    finally:
        await consumer.stop()


def _header(record: Any, name: str) -> str | None:
    value = dict(record.headers).get(name)
    return value.decode(errors="replace") if value else None


async def read_commits(client: AsyncMongoClient[dict[str, Any]], image: Image) -> None:
    """Matching's placements and all fences as the database's own log has them: committed one after another."""
    placements: dict[str, Change] = {}
    fences: dict[tuple[str, str], int] = {}
    oplog = client["local"]["oplog.rs"].find({}, {"o": 1, "o2": 1, "op": 1, "ns": 1}, sort=[("$natural", 1)])
    async for entry in oplog:
        changes: dict[str, Change] = {}
        for op in _flat(entry):
            new, where = op["o"], op.get("ns", "")
            id = new.get("_id") or op.get("o2", {}).get("_id")
            if where.endswith("._fences"):
                at = new.get("next", _changed(new, "next"))
                if at is not None:
                    before = fences.get((where, id), 0)
                    if at < before:
                        image.turned_back.append(f"{id} from {before} to {at}")
                    fences[where, id] = at
            if where != "matching.placements":
                continue
            status = new.get("status") or _changed(new, "status")
            if "worker_id" in new:
                period = new["terms"]["period"]
                span = str(period["start"]), str(period["end"])
                placements[id] = Change(new["worker_id"], id, new["gig_id"], new["seat"], span, stands=True)
            if status and id in placements:
                changes[id] = placements[id]._replace(stands=status in ("placed", "awaiting-confirmation"))
        image.standing += at_once(changes.values())


def at_once(changes: Iterable[Change]) -> list[Change]:
    """The changes of one transaction, of which nobody sees the one without the other, whatever was written first: what
    ends makes room for what begins."""
    return sorted(changes, key=lambda change: change.stands)


def _flat(entry: Row) -> Iterator[Row]:
    """The operations of an oplog entry, those of a transaction one by one."""
    if entry["op"] == "c":
        for inner in entry["o"].get("applyOps", ()):
            yield from _flat(inner)
    elif entry["op"] in ("i", "u"):
        yield entry


def _changed(diff: Row, name: str) -> Any:
    for part in ("u", "i"):
        if name in diff.get("diff", {}).get(part, {}):
            return diff["diff"][part][name]
    return None


def by(said: Iterable[Said], name: str) -> dict[str, list[Said]]:
    """Events by a field of their body."""
    found: dict[str, list[Said]] = defaultdict(list)
    for each in said:
        found[each.body[name]].append(each)
    return found
