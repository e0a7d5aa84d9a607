"""The unit: what one event or one command does to a service's memory and says to the others, all or nothing.

    handler(event, unit)          unit: get · find · save · publish, and set_timer for what must happen later

Writes are gathered and go out as bulk writes in the one MongoDB transaction that also holds the consumer's fence, the
inbox marks and the outbox rows. A handler may run more than once before its transaction commits, so it does nothing
but use its unit.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar, NamedTuple, Self, TypeVar, overload

from opentelemetry import propagate
from pydantic import BaseModel, ConfigDict
from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateMany
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError

from shared import clock
from shared.contracts import Event

Database = AsyncDatabase[dict[str, Any]]

DUPLICATE_KEY = 11000


class Stale(Exception):
    """Somebody else changed what this unit read. The unit is run again from the start."""


class Document(BaseModel):
    """Something a service remembers. `version` counts its changes; a change to an older version is refused.

    A subclass names its `collection`, and its `indexes` as pymongo index models. `id` is MongoDB's `_id`.
    """

    model_config = ConfigDict(extra="ignore", validate_assignment=False)

    collection: ClassVar[str]
    indexes: ClassVar[Sequence[Any]] = ()

    id: str
    version: int = 0

    def to_mongo(self) -> dict[str, Any]:
        fields = self.model_dump()
        return {"_id": fields.pop("id"), **fields}

    @classmethod
    def from_mongo(cls, row: Mapping[str, Any]) -> Self:
        return cls.model_validate({"id": row["_id"], **row})


D = TypeVar("D", bound=Document)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One message on its way to Kafka. `stream` and `sequence` give its place among its aggregate's messages.

    `after` names streams of which everything said so far goes before it.
    """

    id: str
    topic: str
    key: bytes
    stream: str
    sequence: int
    headers: dict[str, str]
    body: bytes
    at: datetime
    after: Sequence[str] = ()

    def to_mongo(self) -> dict[str, Any]:
        row = {name: getattr(self, name) for name in _OUTBOX_FIELDS}
        return {"_id": self.id, **row}

    @classmethod
    def from_mongo(cls, row: Mapping[str, Any]) -> Self:
        return cls(row["_id"], **{name: row[name] for name in _OUTBOX_FIELDS})


OLDEST_FIRST = [("_id", 1)]
"""Ids of rows sort by the time at which they were made, so that no index need hold each row by its time as well."""

_OUTBOX_FIELDS = tuple(field.name for field in fields(OutboxRow) if field.name != "id")


class Timer(BaseModel):
    """Something due at `due_at`. Its id is `<name>:<subject>`, so setting it again moves it."""

    id: str
    name: str
    subject: str
    due_at: datetime
    data: dict[str, Any] = {}
    trace: dict[str, str] = {}


Question = tuple[str, Sequence[Mapping[str, Any]]]
"""A collection, and the stages of an aggregation over it."""

Rows = list[dict[str, Any]]

FEW = 256
"""So many documents are read with one question."""

ANCHOR = "_anchor"
"""A collection of one row (`Store.prepare`), from which others are looked up."""


class Find(NamedTuple):
    """A query for documents of a kind, as `Unit.find` takes it."""

    kind: type[Document]
    query: Mapping[str, Any]
    sort: Sequence[tuple[str, int]] = ()
    limit: int = 0
    skip: int = 0

    @property
    def question(self) -> Question:
        stages: list[Mapping[str, Any]] = [{"$match": self.query}]
        stages += [{"$sort": dict(self.sort)}] if self.sort else []
        stages += [{"$skip": self.skip}] if self.skip else []
        stages += [{"$limit": self.limit}] if self.limit else []
        return self.kind.collection, stages


def under(kind: type["Document"], ids: Iterable[str]) -> Question:
    """The question for the documents with these ids."""
    return kind.collection, [{"$match": {"_id": {"$in": [*ids]}}}]


@dataclass(eq=False)
class Asked:
    """What a unit wants to know, and what was found. `under` are its ids, and `find` its query, where it is one."""

    kind: type[Document]
    question: Question
    under: Sequence[str] | None = None
    find: Find | None = None
    hint: str | None = None
    rows: Rows = field(default_factory=list)
    error: BaseException | None = None


class Said(NamedTuple):
    """An event that goes out when the unit commits: with its id, its moment, its trace, and what it comes after."""

    event: Event
    id: str
    at: datetime
    carrier: dict[str, str]
    after: list[str]


class Unit:
    """What a handler writes with. Without a session (HTTP reads) it only reads.

    Services use the verbs; `db` and `session` are for the rest of `shared`.

    Errors: `Stale` when a document changed under it (the runner tries again); MongoDB's own errors pass through.
    """

    def __init__(self, db: Database, session: AsyncClientSession | None, *, source: str) -> None:
        self.now = clock.now()
        self.rows: list[OutboxRow] = []
        self.timers_set = False
        self.nudged: set[str] = set()
        self._db, self._session, self._source = db, session, source
        self._rows: dict[tuple[type[Document], str], Mapping[str, Any] | None] = {}
        self._known: dict[tuple[type[Document], str], Document | None] = {}
        self._dirty: dict[tuple[type[Document], str], Document] = {}
        self._deleted: dict[tuple[type[Document], str], Document] = {}
        self._said: list[Said] = []
        self._letters: list[OutboxRow] = []
        self._timers: dict[str, Timer | None] = {}
        # A transaction does one thing at a time, whatever its handler asks at the same time.
        self._line = asyncio.Lock()
        self._to_ask: list[Asked] = []

    @property
    def db(self) -> Database:
        return self._db

    @property
    def session(self) -> AsyncClientSession | None:
        return self._session

    # --- reading -------------------------------------------------------------------------------------------------

    async def get(self, kind: type[D], id: str) -> D | None:
        """The document of this kind and id, or None. The same object each time within a unit."""
        at = (kind, id)
        if at not in self._known:
            if at not in self._rows:
                await self.load(kind, (id,))
            if at not in self._known:  # nobody else asked meanwhile
                row = self._rows[at]
                self._known[at] = None if row is None else kind.from_mongo(row)
        found = self._known[at]
        return found if isinstance(found, kind) else None

    async def load(self, kind: type[Document], ids: Iterable[str]) -> None:
        """Read many documents with one query, so that `get` finds them at hand."""
        await self.load_each({kind: ids})

    async def load_each(self, wanted: Mapping[type[Document], Iterable[str]]) -> None:
        """The same for documents of several kinds at once."""
        lacking = {
            kind: [id for id in dict.fromkeys(ids) if not self.has_read(kind, id)] for kind, ids in wanted.items()
        }
        lacking = {kind: ids for kind, ids in lacking.items() if ids}
        if lacking:
            for kind, rows in (await self.with_ids(lacking)).items():
                self.hand(kind, lacking[kind], rows)

    def hand(self, kind: type[Document], ids: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> None:
        """Let `get` find what was read under these ids: `rows`, and nothing where there is none.

        A row becomes a document when somebody gets it, so that one which is none fails only who needs it.
        """
        found = {row["_id"]: row for row in rows}
        for id in ids:
            self._rows.setdefault((kind, id), found.get(id))

    async def ask(self, *questions: Question) -> list[Rows]:
        """What each question finds, with one command. What this unit saved before is not seen.

        A transaction does one thing at a time, and refuses `$unionWith`: so all are looked up from the one row of a
        collection that has one, and what they find together must fit a document (16 MB).
        """
        looked = [
            {"$lookup": {"from": collection, "pipeline": [*stages], "as": str(n)}}
            for n, (collection, stages) in enumerate(questions)
        ]
        anchor: list[Mapping[str, Any]] = [{"$limit": 1}, {"$project": {"_id": 1}}]
        found = await (await self.db[ANCHOR].aggregate([*anchor, *looked], session=self.session)).to_list()
        if not found:  # a database that was restored, and not prepared since
            return [
                await (await self.db[name].aggregate([*stages], session=self.session)).to_list()
                for name, stages in questions
            ]
        return [found[0][str(n)] for n in range(len(questions))]

    async def find(
        self,
        kind: type[D],
        query: Mapping[str, Any],
        *,
        sort: Sequence[tuple[str, int]] = (),
        limit: int = 0,
        skip: int = 0,
    ) -> list[D]:
        """Documents that match a MongoDB query; what this unit saved before is seen."""
        rows = await self.matching(kind, query, sort=sort, limit=limit, skip=skip)
        return [self._remember(kind, row) for row in rows]

    async def count(self, kind: type[D], query: Mapping[str, Any]) -> int:
        """How many documents match; what this unit saved before is counted."""
        async with self._line:
            await self._show(kind)
            return await self.db[kind.collection].count_documents(query, session=self.session)

    async def aggregate(
        self, kind: type[Document], pipeline: Sequence[Mapping[str, Any]], *, hint: str | None = None
    ) -> list[dict[str, Any]]:
        """Rows of an aggregation over a kind's collection: for queries in `store.py` that `find` cannot say.

        `hint` names the index to go by, where MongoDB's trial of all that might serve costs more than the query.
        """
        asked = Asked(kind, (kind.collection, list(pipeline)), hint=hint)
        await self._answer(asked)
        return asked.rows

    async def with_ids(self, wanted: Mapping[type[Document], Sequence[str]]) -> dict[type[Document], Rows]:
        """What MongoDB has under these ids, as it has it."""
        found, _ = await self.together(wanted, ())
        return found

    async def matching(
        self,
        kind: type[Document],
        query: Mapping[str, Any],
        *,
        sort: Sequence[tuple[str, int]] = (),
        limit: int = 0,
        skip: int = 0,
    ) -> list[dict[str, Any]]:
        """What MongoDB finds for a query, as it has it; what this unit saved before is seen."""
        _, (found,) = await self.together({}, (Find(kind, query, sort, limit, skip),))
        return found

    async def together(
        self, wanted: Mapping[type[Document], Sequence[str]], finds: Sequence["Find"]
    ) -> tuple[dict[type[Document], Rows], list[Rows]]:
        """What MongoDB has under these ids, and what it finds for each query; with one command where that can be.

        Of many ids each kind is a question of its own: all in one might be more than a document holds.
        """
        if sum(map(len, wanted.values())) > FEW:
            async with self._line:
                many = {kind: await self._under(kind, ids) for kind, ids in wanted.items()}
            return many, (await self.together({}, finds))[1]
        by_id = [Asked(kind, under(kind, ids), under=ids) for kind, ids in wanted.items()]
        found = [Asked(find.kind, find.question, find=find) for find in finds]
        await self._answer(*by_id, *found)
        return dict(zip(wanted, (each.rows for each in by_id), strict=True)), [each.rows for each in found]

    async def _answer(self, *asked: "Asked") -> None:
        """Ask these, and with the same command what is asked at the same time."""
        if not asked:
            return
        self._to_ask += asked
        await asyncio.sleep(0)
        async with self._line:
            if asked[0] in self._to_ask:
                all_asked, self._to_ask = self._to_ask, []
                try:
                    await self._answer_all(all_asked)
                except BaseException as error:
                    for each in all_asked:
                        each.error = error
                    raise
        if asked[0].error:
            raise asked[0].error

    async def _answer_all(self, asked: Sequence["Asked"]) -> None:
        for each in asked:
            if each.under is None:
                await self._show(each.kind)
        together = [each for each in asked if each.hint is None]
        if len(together) > 1:
            for each, rows in zip(together, await self.ask(*(each.question for each in together)), strict=True):
                each.rows = rows
        for each in asked:
            if len(together) == 1 or each not in together:
                each.rows = await self._rows_of(each)

    async def _rows_of(self, asked: "Asked") -> Rows:
        if asked.under is not None:
            return await self._under(asked.kind, asked.under)
        if asked.find:
            return await self._found(asked.find)
        collection, pipeline = asked.question
        more: dict[str, Any] = {} if asked.hint is None else {"hint": asked.hint}
        return await (await self.db[collection].aggregate([*pipeline], session=self.session, **more)).to_list()

    async def _under(self, kind: type[Document], ids: Sequence[str]) -> Rows:
        return await self.db[kind.collection].find({"_id": {"$in": ids}}, session=self.session).to_list()

    async def _found(self, find: "Find") -> Rows:
        cursor = self.db[find.kind.collection].find(find.query, session=self.session, limit=find.limit, skip=find.skip)
        return await (cursor.sort(list(find.sort)) if find.sort else cursor).to_list()

    async def _show(self, kind: type[Document]) -> None:
        """Let queries see what this unit did to documents of a kind."""
        if self.changes(kind):
            await self._write_documents()

    def changes(self, kind: type[Document]) -> bool:
        """Whether this unit holds changes to documents of a kind that queries would not see."""
        return any(each is kind for each, _ in (*self._dirty, *self._deleted))

    def has_read(self, kind: type[Document], id: str) -> bool:
        """Whether this unit knows what stands under an id, or that nothing does."""
        return (kind, id) in self._known or (kind, id) in self._rows

    def is_new(self, kind: type[Document], id: str) -> bool:
        """Whether a document is this unit's own, and not written yet."""
        document = self._dirty.get((kind, id))
        return document is not None and document.version == 0

    def _remember(self, kind: type[D], row: Mapping[str, Any]) -> D:
        known = self._known.get((kind, row["_id"]))
        if isinstance(known, kind):
            return known
        document = kind.from_mongo(row)
        self._known[kind, document.id] = document
        return document

    # --- writing -------------------------------------------------------------------------------------------------

    def save(self, document: Document) -> None:
        """Write a new or changed document when the unit commits."""
        at = (type(document), document.id)
        self._deleted.pop(at, None)
        self._known[at] = self._dirty[at] = document

    def delete(self, document: Document) -> None:
        """Remove a document when the unit commits."""
        at = (type(document), document.id)
        self._dirty.pop(at, None)
        self._known[at] = None
        if document.version:
            self._deleted[at] = document

    def publish(self, event: Event, *, after: Iterable[str] = ()) -> str:
        """Say an event when the unit commits; returns its id. It carries the trace in which it was said.

        Aggregates have no order among each other, except that it stands in the log after what this unit can know was
        said of the subjects in `after`, in the same topic.
        """
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        id = clock.new_id()
        self._said.append(Said(event, id, self.now, carrier, [f"{event.topic}:{subject}" for subject in after]))
        return id

    def set_timer(self, name: str, subject: str, due_at: datetime, **data: Any) -> None:
        """Have the reaction to timer `name` run at `due_at`, once, across restarts. Setting it again moves it."""
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        id = f"{name}:{subject}"
        self._timers[id] = Timer(id=id, name=name, subject=subject, due_at=due_at, data=data, trace=carrier)

    def cancel_timer(self, name: str, subject: str) -> None:
        self._timers[f"{name}:{subject}"] = None

    async def timer_due(self, name: str, subjects: Iterable[str]) -> bool:
        """Whether timer `name` of any of these subjects is due and its reaction not yet done."""
        ids = [f"{name}:{subject}" for subject in subjects]
        due = {"_id": {"$in": ids}, "due_at": {"$lte": self.now}}
        async with self._line:
            return bool(ids) and await self.db["_timers"].find_one(due, session=self.session) is not None

    def nudge(self, name: str) -> None:
        """Wake this process's own loops when the unit has committed. May be lost, so a loop also looks by itself."""
        self.nudged.add(name)

    def post_letter(self, row: OutboxRow) -> None:
        """Put a raw message into the outbox: for dead letters."""
        self._letters.append(row)

    def absorb(self, other: "Unit") -> set[tuple[type[Document], str]]:
        """Do what another unit would do; returns which documents it changed."""
        changed = {*other._dirty, *other._deleted}
        for document in other._deleted.values():
            self.delete(document)
        for document in other._dirty.values():
            self.save(document)
        self.nudged |= other.nudged
        self._said += other._said
        self._letters += other._letters
        self._timers |= other._timers
        return changed

    # --- committing ----------------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Send everything gathered to the transaction; the runner calls it just before the commit. Safe to repeat."""
        async with self._line:
            await self._write_documents()
            await self._write_timers()
            await self._write_outbox()

    async def _write_documents(self) -> None:
        writes: dict[str, list[Any]] = defaultdict(list)
        replaced: dict[str, int] = defaultdict(int)
        for (kind, id), document in self._dirty.items():
            row = document.to_mongo() | {"version": document.version + 1}
            if document.version:
                writes[kind.collection].append(ReplaceOne({"_id": id, "version": document.version}, row))
                replaced[kind.collection] += 1
            else:
                writes[kind.collection].append(InsertOne(row))
        for (kind, id), document in self._deleted.items():
            writes[kind.collection].append(DeleteOne({"_id": id, "version": document.version}))
            replaced[kind.collection] += 1
        for collection, operations in writes.items():
            try:
                # In order, each change from one kind of write to another would be a command of its own.
                result = await self.db[collection].bulk_write(operations, ordered=False, session=self.session)
            except BulkWriteError as error:
                raise stale_or_same(error) from error
            if result.matched_count + result.deleted_count != replaced[collection]:
                raise Stale(f"{collection}: a document has changed")
        for document in self._dirty.values():
            document.version += 1
        self._dirty.clear()
        self._deleted.clear()

    async def _write_timers(self) -> None:
        if not self._timers:
            return
        self.timers_set = True
        await self.db["_timers"].bulk_write(
            [
                ReplaceOne({"_id": id}, {"_id": id, **timer.model_dump(exclude={"id"})}, upsert=True)
                if timer
                else DeleteOne({"_id": id})
                for id, timer in self._timers.items()
            ],
            ordered=False,
            session=self.session,
        )
        self._timers.clear()

    async def _write_outbox(self) -> None:
        rows = [*await self._numbered(), *self._letters]
        if rows:
            await self.db["_outbox"].insert_many([row.to_mongo() for row in rows], session=self.session)
        self.rows += rows
        self._said.clear()
        self._letters.clear()

    async def _numbered(self) -> list[OutboxRow]:
        """The events said, each with its number in its aggregate's sequence (CloudEvents `sequence`, 1 to n)."""
        if not self._said:
            return []
        more = Counter(said.event.stream for said in self._said)
        last = await (self._counted_up if len(more) == 1 else self._read_and_count_up)(more)
        rows = []
        for said in self._said:
            stream = said.event.stream
            number = last[stream] = last.get(stream, 0) + 1
            rows.append(outbox_row(said.event, said.id, number, self._source, said.at, said.carrier, said.after))
        return rows

    async def _counted_up(self, more: Mapping[str, int]) -> dict[str, int]:
        """The last number of the one stream that there is, which has so many more from now on."""
        ((stream, times),) = more.items()
        row = await self.db["_streams"].find_one_and_update(
            {"_id": stream}, {"$inc": {"last": times}}, upsert=True, session=self.session
        )
        return {stream: row["last"]} if row else {}

    async def _read_and_count_up(self, more: Mapping[str, int]) -> dict[str, int]:
        """The same of many. What was read in this snapshot cannot have changed where this succeeds."""
        known = self.db["_streams"].find({"_id": {"$in": list(more)}}, session=self.session)
        last = {row["_id"]: row["last"] async for row in known}
        alike: dict[int, list[str]] = defaultdict(list)
        writes: list[InsertOne[dict[str, Any]] | UpdateMany] = []
        for stream, times in more.items():
            if stream in last:
                alike[times].append(stream)
            else:
                writes.append(InsertOne({"_id": stream, "last": times}))
        writes += [UpdateMany({"_id": {"$in": ids}}, {"$inc": {"last": times}}) for times, ids in alike.items()]
        try:
            await self.db["_streams"].bulk_write(writes, session=self.session)
        except BulkWriteError as error:
            raise stale_or_same(error) from error
        return last


@overload
async def at_once(a: Awaitable[A], b: Awaitable[B], /) -> tuple[A, B]: ...
@overload
async def at_once(a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], /) -> tuple[A, B, C]: ...
@overload
async def at_once(a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], d: Awaitable[T], /) -> tuple[A, B, C, T]: ...
@overload
async def at_once(
    a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], d: Awaitable[T], e: Awaitable[U], /
) -> tuple[A, B, C, T, U]: ...
async def at_once(*reads: Awaitable[Any]) -> tuple[Any, ...]:
    """What several reads of one unit find, which asks for them with one command where that can be.

    All have ended when this returns, or raises what the first of them raised: nothing goes on in a transaction that
    is over.
    """
    found = await asyncio.gather(*reads, return_exceptions=True)
    for each in found:
        if isinstance(each, BaseException):
            raise each
    return tuple(found)


def outbox_row(
    event: Event,
    id: str,
    sequence: int,
    source: str,
    at: datetime,
    carrier: Mapping[str, str],
    after: Sequence[str] = (),
) -> OutboxRow:
    """An event as a CloudEvents message in Kafka's binary mode: attributes as `ce_` headers, the body as JSON."""
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": id,
        "ce_type": event.type,
        "ce_source": f"/{source}",
        "ce_subject": event.subject,
        "ce_time": at.isoformat().replace("+00:00", "Z"),
        "ce_sequence": str(sequence),
        "content-type": "application/json",
        **carrier,
    }
    return OutboxRow(
        id=id,
        topic=event.topic,
        key=event.key.encode(),
        stream=event.stream,
        sequence=sequence,
        headers=attributes,
        body=event.model_dump_json().encode(),
        at=at,
        after=after,
    )


def stale_or_same(error: BulkWriteError) -> Exception:
    """A duplicate key means that another unit was first; anything else is what it is."""
    errors = (error.details or {}).get("writeErrors", [])
    return Stale(str(errors[0].get("errmsg"))) if any(e.get("code") == DUPLICATE_KEY for e in errors) else error
