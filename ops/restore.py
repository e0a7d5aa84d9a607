"""A service's database from a backup, caught up with the topics, before its processes begin again.

    load ─► migrate ─► hear again what came since ─► settle what was said since

What the service said after the backup stands in the topics and others have acted on it: that is what happened. So its
reactions are run over the log offline, by the log's own times, and what they come to is held against the log:

- what they say again was said: it is not said twice;
- what they would say now and did not say then keeps its place behind what was said, under the next numbers;
- what was said and they do not come to (a command's, a window's) is *remembered*, where the service says how
  (`Reactions.remembering`), in its place among what it heard; the rest is listed, and kept in `_unremembered`.
"""

from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, cast

from pymongo import UpdateOne

from ops.backup import KEYS, Manifest, rows_of, said_topics, verify
from ops.opened import Opened, Refused
from shared import clock
from shared.audit import audit
from shared.broker import Broker
from shared.bus import log_bounds
from shared.contracts import CATALOGUE
from shared.delivery import Letter
from shared.migrations import migrate
from shared.problems import Text
from shared.replay import EPOCH, members, records_between
from shared.timers import Timers
from shared.unit import Unit

AT_ONCE = 200
ROWS = 1_000
UNREMEMBERED = "_unremembered"

OTHER = Text("{folder} is a backup of {service}", "{folder} 是 {service} 的备份")
RUNS = Text(
    "{service} is running: stop all its processes, wait ten seconds, and say it again",
    "{service} 正在运行：请停止其全部进程，等待十秒后重试",
)
NOT_EMPTY = Text(
    "the database {database} is not empty; --replace gives up what is in it",
    "数据库 {database} 不为空；加 --replace 将丢弃其内容",
)
NO_KEYS = Text(
    "the database has no keys, and the backup knew {n} people: name the backup of their keys by --keys",
    "数据库中没有密钥，而备份中有 {n} 人的信息：请用 --keys 指定密钥备份",
)
TOO_OLD = Text(
    "{topic} {partition} begins at {begin}, behind {wanted}, where the backup goes on: {lost} events are gone for "
    "good; --with-gaps restores all the same",
    "{topic} 分区 {partition} 从 {begin} 开始，而备份应从 {wanted} 继续：有 {lost} 条事件已无法找回；"
    "加 --with-gaps 仍可恢复",
)


@dataclass(frozen=True)
class Word:
    """An event of the service's own, from the log."""

    at: datetime
    stream: str
    number: int
    type: str
    letter: Letter

    @property
    def id(self) -> str:
        return self.letter.id


@dataclass
class Restored:
    """What came of it. `again`: said before and not said twice; `new`: to be said now; `otherwise`: of those said
    again, how many now have another text; `left`: what was said and is not remembered, by type."""

    service: str
    documents: int = 0
    heard: int = 0
    again: int = 0
    otherwise: int = 0
    new: int = 0
    remembered: int = 0
    left: dict[str, int] = field(default_factory=dict)


async def restore(
    opened: Opened, kafka: Broker, folder: Path, keys: Path | None, *, replace: bool, with_gaps: bool, by: str
) -> Restored:
    """Put a backup in the place of a service's database and catch up with the topics. Safe to begin again.

    Raises `Refused` before anything is changed: a file that is broken, a backup of another service, a process that
    runs, a database that is not empty, keys that are missing, a log that begins too late. ConnectionError when Kafka
    does not answer.
    """
    manifest = await _checked(opened, kafka, folder, keys, replace=replace, with_gaps=with_gaps)
    done = Restored(opened.name)
    db = opened.store.db
    await db["_restoring"].replace_one({"_id": opened.name}, {"from": str(folder), "at": clock.now()}, upsert=True)
    done.documents = await _load(opened, folder, manifest, keys)
    await migrate(db, opened.service.migrations)
    await opened.store.prepare(opened.service.documents)
    before = {row["_id"] async for row in db["_outbox"].find({}, {"_id": 1})}
    words = await _words(opened, kafka, manifest)
    lost = [word for word in words if word.id not in before]
    numbers = {row["_id"]: row["last"] async for row in db["_streams"].find({})}
    lost = [word for word in lost if word.number > numbers.get(word.stream, 0)]
    await _catch_up(opened, kafka, lost, done)
    await db["_outbox"].delete_many({"_id": {"$in": [word.id for word in words if word.id in before]}})
    await _settle(opened, lost, numbers, before, done)

    async def note(unit: Unit) -> None:
        await audit(unit, by, "restore", of=manifest.at, heard=done.heard, new=done.new, left=done.left)

    await opened.store.transact(note)
    await db["_restoring"].drop()
    return done


# --- before anything is changed --------------------------------------------------------------------------------------


async def _checked(
    opened: Opened, kafka: Broker, folder: Path, keys: Path | None, *, replace: bool, with_gaps: bool
) -> Manifest:
    manifest = Manifest.read(folder)
    for place in filter(None, (folder, keys)):
        found = Manifest.read(place)
        if found.service != opened.name:
            raise Refused(OTHER, folder=place, service=found.service)
        verify(place, found)
    db = opened.store.db
    held = await db["_leases"].find_one({"until": {"$gt": clock.now()}})
    if held or await members(kafka, opened.name):
        raise Refused(RUNS, service=opened.name)
    there = set(await db.list_collection_names()) - {KEYS, "_leases", "_restoring"}
    begun = await db["_restoring"].find_one({})
    if not replace and not begun and any([await db[name].find_one({}, {"_id": 1}) for name in sorted(there)]):
        raise Refused(NOT_EMPTY, database=db.name)
    if manifest.keys and not keys and not await db[KEYS].find_one({}, {"_id": 1}):
        raise Refused(NO_KEYS, n=manifest.keys)
    bounds = await log_bounds(kafka, sorted({*manifest.heard, *manifest.said}))
    for places in (manifest.heard, manifest.said):
        for topic, offsets in places.items():
            for partition, wanted in offsets.items():
                begin, _ = bounds.get((topic, partition), (wanted, wanted))
                if begin > wanted and not with_gaps:
                    facts = {"topic": topic, "partition": partition, "begin": begin, "wanted": wanted}
                    raise Refused(TOO_OLD, lost=begin - wanted, **facts)
    return manifest


async def _load(opened: Opened, folder: Path, manifest: Manifest, keys: Path | None) -> int:
    db = opened.store.db
    kept = {"_restoring"} | (set() if keys else {KEYS})
    for name in set(await db.list_collection_names()) - kept:
        await db[name].drop()
    documents = 0
    for place in filter(None, (folder, keys)):
        for name in (manifest if place == folder else Manifest.read(place)).collections:
            rows = rows_of(place, name)
            while some := list(islice(rows, ROWS)):
                await db[name].insert_many(cast("list[Any]", some))
                documents += len(some)
    return documents


# --- what the log holds ----------------------------------------------------------------------------------------------


async def _words(opened: Opened, kafka: Broker, manifest: Manifest) -> list[Word]:
    """What the service said since the backup, each event once, in the order of the log's times."""
    words: dict[str, Word] = {}
    bounds = await log_bounds(kafka, said_topics(opened.name))
    begins = {place: manifest.said.get(place[0], {}).get(place[1], begin) for place, (begin, _) in bounds.items()}
    async for at, letter in records_between(kafka, begins, {place: end for place, (_, end) in bounds.items()}):
        # A topic may be shared with who else speaks of the same aggregate.
        if letter.headers.get("ce_source") == f"/{opened.name}" or letter.headers.get("dead_service") == opened.name:
            number = int(letter.headers.get("ce_sequence", "1")) if "dead_origin" not in letter.headers else 1
            word = Word(at, _stream(letter.topic, letter.headers), number, letter.headers.get("ce_type", ""), letter)
            words.setdefault(word.stream if "dead_origin" in letter.headers else word.id, word)
    return list(words.values())


def _stream(topic: str, headers: Mapping[str, str]) -> str:
    return f"dead:{headers['dead_origin']}" if "dead_origin" in headers else f"{topic}:{headers.get('ce_subject', '')}"


# --- catching up -----------------------------------------------------------------------------------------------------


async def _catch_up(opened: Opened, kafka: Broker, lost: list[Word], done: Restored) -> None:
    """Hear what came since, remember what was said since, and let timers ring, all by the log's own times."""
    topics = opened.service.reactions.topics
    bounds = await log_bounds(kafka, topics)
    at = {place: max(begin, await opened.delivery.fence(_fence(opened, place))) for place, (begin, _) in bounds.items()}
    # Where the log begins later than the fence, what lies between is gone, as the running service would find.
    for place, offset in at.items():
        await opened.store.db["_fences"].update_one({"_id": _fence(opened, place)}, {"$set": {"next": offset}})
    words = iter(sorted(lost, key=lambda word: (word.at, word.number)))
    word = next(words, None)
    async with _at_times_of_the_log() as now:
        timers = Timers(opened.store.db, opened.delivery)
        group: list[Letter] = []

        async def flush() -> None:
            if group:
                place = _place(group[0])
                at[place] = await opened.delivery.deliver(_fence(opened, place), at[place], group)
                done.heard += len(group)
                group.clear()

        async def ring(until: datetime) -> None:
            if await opened.store.db["_timers"].find_one({"due_at": {"$lte": until}}):
                await flush()
                now.moment = until
                while await timers.fire_due():
                    pass

        records = records_between(kafka, at, {place: end for place, (_, end) in bounds.items()})
        async for moment, letter in records:
            while word and word.at <= moment:
                await flush()
                await ring(word.at)
                now.moment = word.at
                done.remembered += await _remember(opened, word)
                word = next(words, None)
            if group and (
                len(group) == AT_ONCE or (group[0].topic, group[0].partition) != (letter.topic, letter.partition)
            ):
                await flush()
            await ring(moment)
            now.moment = moment
            group.append(letter)
        await flush()
        while word:
            await ring(word.at)
            now.moment = word.at
            done.remembered += await _remember(opened, word)
            word = next(words, None)


def _place(letter: Letter) -> tuple[str, int]:
    return letter.topic, letter.partition


def _fence(opened: Opened, place: tuple[str, int]) -> str:
    return f"{opened.name}:{place[0]}:{place[1]}"


class _Now:
    moment = EPOCH


@asynccontextmanager
async def _at_times_of_the_log() -> AsyncIterator[_Now]:
    now = _Now()
    clock.set_source(lambda: now.moment)
    try:
        yield now
    finally:
        clock.set_source(None)


async def _remember(opened: Opened, word: Word) -> bool:
    """Let the service take its own word back into its memory; False when it does not say how."""
    handler = opened.service.reactions.remembered.get(word.type)
    if handler is None:
        return False
    event = CATALOGUE[word.type].model_validate_json(word.letter.body)
    await opened.store.transact(lambda unit: handler(event, unit))
    return True


# --- settling --------------------------------------------------------------------------------------------------------


async def _settle(
    opened: Opened, lost: list[Word], numbers: Mapping[str, int], before: set[str], done: Restored
) -> None:
    """Hold what catching up said against the log, and number on from the log's own end."""
    db = opened.store.db
    said: dict[str, list[Word]] = defaultdict(list)
    for word in sorted(lost, key=lambda word: word.number):
        said[word.stream].append(word)
    made: dict[str, list[dict[str, Any]]] = defaultdict(list)
    async for row in db["_outbox"].find({"_id": {"$nin": list(before)}}, sort=[("sequence", 1)]):
        made[row["stream"]].append(row)
    outbox: list[Any] = []
    gone: list[str] = []
    streams: list[Any] = []
    left: list[Word] = []
    for stream in sorted({*said, *made}):
        top = max((word.number for word in said[stream]), default=numbers.get(stream, 0))
        pairs, new, unmatched = _paired(made[stream], said[stream])
        letters = stream.startswith("dead:")
        gone += [row["_id"] for row, _ in pairs]
        done.again += len(pairs)
        done.otherwise += sum(row["body"] != word.letter.body for row, word in pairs)
        left += [word for word in unmatched if not letters and word.type not in opened.service.reactions.remembered]
        for row in [] if letters else new:
            top += 1
            numbered = {"sequence": top, "headers.ce_sequence": str(top)}
            outbox.append(UpdateOne({"_id": row["_id"]}, {"$set": numbered}))
        done.new += len(new)
        if not letters:
            streams.append(UpdateOne({"_id": stream}, {"$set": {"last": top}}, upsert=True))
    await db["_outbox"].delete_many({"_id": {"$in": gone}})
    for collection, changes in (("_outbox", outbox), ("_streams", streams)):
        if changes:
            await db[collection].bulk_write(changes)
    if left:
        await db[UNREMEMBERED].insert_many(
            [{"_id": w.id, "type": w.type, "stream": w.stream, "number": w.number, "body": w.letter.body} for w in left]
        )
    done.left = dict(Counter(word.type for word in left))


def _paired(
    made: list[dict[str, Any]], said: list[Word]
) -> tuple[list[tuple[dict[str, Any], Word]], list[dict[str, Any]], list[Word]]:
    """Of one aggregate: what was made again with what was said, the n-th of a type with the n-th; the rest of both."""
    waiting: dict[str, deque[Word]] = defaultdict(deque)
    for word in said:
        waiting[word.type].append(word)
    pairs, new = [], []
    for row in made:
        words = waiting[row["headers"].get("ce_type", "")]
        if words:
            pairs.append((row, words.popleft()))
        else:
            new.append(row)
    return pairs, new, [word for words in waiting.values() for word in words]
