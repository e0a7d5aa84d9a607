"""MongoDB as the services use it, in memory: snapshot transactions, write conflicts, unique indexes.

Every call waits for its `Turn`, which says when it happens and what becomes of it. What real servers do is shown on
real servers (tests/service, tests/chaos); here it is the order of calls and the moment of a death that matter.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self, TypeVar, cast

import bson
from bson.codec_options import CodecOptions
from pymongo import DeleteOne, IndexModel, InsertOne, ReplaceOne, UpdateMany, UpdateOne
from pymongo.errors import AutoReconnect, BulkWriteError, DuplicateKeyError, OperationFailure

T = TypeVar("T")
Row = Mapping[str, Any]
Rows = dict[str, Row]
Key = tuple[str, ...]
"""Of what a transaction may hold: a row of a collection, or a value of its unique index."""

Fate = Literal["done", "unsent", "unanswered"]
"""What becomes of a call: it is done; it never arrives; it is done, and the answer is lost."""

Turn = Callable[[str], Awaitable[Fate]]

DUPLICATE, CONFLICT = 11000, 112
_TIMES = CodecOptions[dict[str, Any]](tz_aware=True)
_MISSING = object()


class Held(Exception):
    """A call outside transactions met a row that one holds; it waits."""


class Index(NamedTuple):
    name: str
    field: str
    only: Mapping[str, Any]


class Server:
    """All databases. `on_commit` hears of each row that is written, by its collection as `<database>.<name>`."""

    def __init__(self) -> None:
        self.rows: dict[str, Rows] = defaultdict(dict)
        self.indexes: dict[str, list[Index]] = defaultdict(list)
        self.held: dict[Key, Session] = {}
        self.changed: dict[Key, int] = {}
        self.moment = 0
        self.on_commit: Callable[[str, Row], None] = lambda collection, row: None

    def commit(self, writes: Mapping[tuple[str, str], Row | None], keys: Iterable[Key]) -> None:
        self.moment += 1
        for (collection, id), row in writes.items():
            if row is None:
                self.rows[collection].pop(id, None)
            else:
                self.rows[collection][id] = row
                self.on_commit(collection, row)
        for key in keys:
            self.changed[key] = self.moment

    def release(self, session: "Session") -> None:
        self.held = {key: by for key, by in self.held.items() if by is not session}


class Client:
    """One process's connection."""

    def __init__(self, server: Server, turn: Turn) -> None:
        self.server, self._turn = server, turn
        self.sessions: list[Session] = []

    def start_session(self) -> "Session":
        return Session(self)

    def get_database(self, name: str, **_: Any) -> "Database":
        return Database(self, name)

    def cut(self) -> None:
        """The process is dead: the server gives its transactions up."""
        for session in self.sessions:
            session.give_up()

    async def call(self, what: str, act: Callable[[], T], session: "Session | None" = None) -> T:
        label = {"errorLabels": ["TransientTransactionError"]} if session else None
        while True:
            fate = await self._turn(what)
            try:
                if fate == "unsent":
                    raise AutoReconnect("not sent", label)
                if session:
                    session.begin()
                done = act()
                if fate == "unanswered":
                    raise AutoReconnect("no answer", label)
                return done
            except Held:
                continue
            except Exception:
                if session:
                    session.give_up()
                raise


class Session:
    """A transaction: what it sees was there when it began, and what it has written."""

    def __init__(self, client: Client) -> None:
        self._client, self._server = client, client.server
        self.in_transaction = False
        self._committed = False
        self._gone = False
        self.began = -1
        self._seen: dict[str, Rows] = {}
        self.writes: dict[tuple[str, str], Row | None] = {}
        self.keys: set[Key] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.give_up()

    async def start_transaction(self, **_: Any) -> None:
        self.in_transaction = True
        self._client.sessions.append(self)

    def begin(self) -> None:
        if self._gone:
            raise _failure("the transaction was given up", 251)
        if self.began < 0:
            self.began = self._server.moment
            self._seen = {name: dict(rows) for name, rows in self._server.rows.items()}

    def rows(self, collection: str) -> Rows:
        return self._seen.setdefault(collection, {})

    def write(self, collection: str, id: str, row: Row | None, keys: Iterable[Key]) -> None:
        for key in keys:
            if self._server.held.get(key, self) is not self or self._server.changed.get(key, 0) > self.began:
                raise _failure("write conflict", CONFLICT)
            self._server.held[key] = self
            self.keys.add(key)
        self.writes[collection, id] = row
        if row is None:
            self.rows(collection).pop(id, None)
        else:
            self.rows(collection)[id] = row

    async def commit_transaction(self) -> None:
        fate = await self._client._turn("commit")
        if fate != "unsent" and not self._committed:
            if self._gone:
                raise _failure("the transaction was given up", 251)
            self._server.commit(self.writes, self.keys)
            self._committed = True
            self.give_up()
        if fate != "done":
            raise AutoReconnect("no answer to a commit", {"errorLabels": ["UnknownTransactionCommitResult"]})
        self.in_transaction = False

    async def abort_transaction(self) -> None:
        self.give_up()
        self.in_transaction = False

    def give_up(self) -> None:
        self._gone = True
        self._server.release(self)
        if self in self._client.sessions:
            self._client.sessions.remove(self)


class Database:
    def __init__(self, client: Client, name: str) -> None:
        self._client, self.name = client, name

    def __getitem__(self, collection: str) -> "Collection":
        return Collection(self._client, f"{self.name}.{collection}")

    async def list_collection_names(self) -> list[str]:
        return []

    async def create_collection(self, name: str) -> None:
        pass


class Cursor:
    """Rows that are read with one call, when the first is asked for."""

    def __init__(self, read: Callable[[], Awaitable[list[Row]]]) -> None:
        self._read = read
        self._order: Sequence[tuple[str, int]] = ()
        self._skip = self._limit = 0

    def sort(self, order: Sequence[tuple[str, int]]) -> Self:
        self._order = order
        return self

    def cut(self, skip: int, limit: int) -> Self:
        self._skip, self._limit = skip, limit
        return self

    async def to_list(self) -> list[Row]:
        found = sorted_by(await self._read(), self._order)[self._skip :]
        return found[: self._limit] if self._limit else found

    async def __aiter__(self) -> AsyncIterator[Row]:
        for row in await self.to_list():
            yield row


class Done(NamedTuple):
    """How many rows a write found, changed, made and removed."""

    matched_count: int = 0
    deleted_count: int = 0
    upserted_count: int = 0


class Collection:
    def __init__(self, client: Client, name: str) -> None:
        self._client, self.name = client, name
        self._server = client.server

    # --- reading -------------------------------------------------------------------------------------------------

    def find(
        self,
        query: Row | None = None,
        projection: Row | None = None,
        *,
        session: Session | None = None,
        sort: Sequence[tuple[str, int]] = (),
        limit: int = 0,
        skip: int = 0,
    ) -> Cursor:
        async def read() -> list[Row]:
            return await self._call("find", lambda: self._matching(query or {}, session), session)

        return Cursor(read).sort(sort).cut(skip, limit)

    async def find_one(
        self,
        query: Row,
        projection: Row | None = None,
        *,
        session: Session | None = None,
        sort: Sequence[tuple[str, int]] = (),
    ) -> Row | None:
        found = await self.find(query, session=session, sort=sort, limit=1).to_list()
        return found[0] if found else None

    async def count_documents(self, query: Row, *, session: Session | None = None) -> int:
        return await self._call("count", lambda: len(self._matching(query, session)), session)

    async def aggregate(self, pipeline: Sequence[Row], *, session: Session | None = None) -> Cursor:
        found = await self._call("aggregate", lambda: self._piped(pipeline, session), session)

        async def read() -> list[Row]:
            return found

        return Cursor(read)

    # --- writing -------------------------------------------------------------------------------------------------

    async def create_indexes(self, indexes: Sequence[IndexModel]) -> None:
        for index in (index.document for index in indexes):
            if index.get("unique"):
                (field,) = index["key"]
                only = index.get("partialFilterExpression", {})
                self._server.indexes[self.name].append(Index(index["name"], field, only))

    async def insert_one(self, row: Row, *, session: Session | None = None) -> None:
        await self._call("insert", lambda: self._insert(row, session), session)

    async def insert_many(self, rows: Sequence[Row], *, session: Session | None = None) -> None:
        await self.bulk_write([InsertOne(row) for row in rows], session=session)

    async def update_one(
        self, query: Row, change: Row, *, upsert: bool = False, session: Session | None = None
    ) -> Done:
        return await self._call("update", lambda: self._update(query, change, upsert, session), session)

    async def find_one_and_update(
        self, query: Row, change: Row, *, upsert: bool = False, session: Session | None = None
    ) -> Row | None:
        """The row as it was before."""

        def act() -> Row | None:
            found = self._matching(query, session)[:1]
            self._update(query, change, upsert, session)
            return found[0] if found else None

        return await self._call("update", act, session)

    async def delete_one(self, query: Row, *, session: Session | None = None) -> Done:
        return await self._call("delete", lambda: self._delete(query, 1, session), session)

    async def delete_many(self, query: Row, *, session: Session | None = None) -> Done:
        return await self._call("delete", lambda: self._delete(query, None, session), session)

    async def bulk_write(
        self, operations: Sequence[Any], *, ordered: bool = True, session: Session | None = None
    ) -> Done:
        def act() -> Done:
            done = [self._operate(operation, session) for operation in operations]
            return Done(*(sum(figures) for figures in zip(*done, strict=True)))

        return await self._call("write", act, session)

    def _operate(self, operation: Any, session: Session | None) -> Done:
        match operation:
            case InsertOne():
                try:
                    self._insert(operation._doc, session)
                except DuplicateKeyError as error:
                    raise BulkWriteError({"writeErrors": [{"code": DUPLICATE, "errmsg": str(error)}]}) from error
                return Done()
            case ReplaceOne():
                found = self._matching(operation._filter, session)[:1]
                if found or operation._upsert:
                    self._write(str(operation._filter["_id"]), operation._doc, session)
                return Done(matched_count=len(found))
            case UpdateOne():
                change = cast("Row", operation._doc)  # a pipeline is not among what we use
                return self._update(operation._filter, change, bool(operation._upsert), session)
            case UpdateMany():
                return self._update(operation._filter, cast("Row", operation._doc), False, session, most=None)
            case DeleteOne():
                return self._delete(operation._filter, 1, session)
        raise NotImplementedError(repr(operation))

    # --- what a call does, all at once ---------------------------------------------------------------------------

    async def _call(self, verb: str, act: Callable[[], T], session: Session | None) -> T:
        return await self._client.call(f"{verb} {self.name}", act, session)

    def _rows(self, session: Session | None) -> Rows:
        return session.rows(self.name) if session else self._server.rows[self.name]

    def _matching(self, query: Row, session: Session | None) -> list[Row]:
        return [row for row in self._rows(session).values() if matches(row, query)]

    def _piped(self, pipeline: Sequence[Row], session: Session | None) -> list[Row]:
        rows = self._matching({}, session)
        for stage in pipeline:
            match stage:
                case {"$match": query}:
                    rows = [row for row in rows if matches(row, query)]
                case {"$sort": order}:
                    rows = sorted_by(rows, list(order.items()))
                case {"$skip": skip}:
                    rows = rows[skip:]
                case {"$limit": limit}:
                    rows = rows[:limit]
                case {"$project": _}:
                    pass
                case {"$lookup": {"from": other, "pipeline": stages, "as": field}}:
                    found = Collection(self._client, f"{self.name.partition('.')[0]}.{other}")._piped(stages, session)
                    rows = [{**row, field: found} for row in rows]
                case {"$group": {"_id": field, "count": {"$sum": 1}}}:
                    counts: dict[Any, int] = defaultdict(int)
                    for row in rows:
                        counts[value_of(row, field.removeprefix("$"))] += 1
                    rows = [{"_id": value, "count": count} for value, count in counts.items()]
                case _:
                    raise NotImplementedError(repr(stage))
        return rows

    def _insert(self, row: Row, session: Session | None) -> None:
        if row["_id"] in self._rows(session):
            raise DuplicateKeyError(f"E11000 {self.name}: {row['_id']}", DUPLICATE)
        self._write(row["_id"], row, session)

    def _update(self, query: Row, change: Row, upsert: bool, session: Session | None, *, most: int | None = 1) -> Done:
        if not change.keys() <= {"$set", "$inc", "$setOnInsert"}:
            raise NotImplementedError(repr(change))
        found = self._matching(query, session)[:most]
        for row in found:
            self._write(row["_id"], _changed(row, change), session)
        if found or not upsert:
            return Done(matched_count=len(found))
        self._insert(_changed({"_id": query["_id"]} | change.get("$setOnInsert", {}), change), session)
        return Done(upserted_count=1)

    def _delete(self, query: Row, most: int | None, session: Session | None) -> Done:
        found = self._matching(query, session)[:most]
        for row in found:
            self._write(row["_id"], None, session)
        return Done(deleted_count=len(found))

    def _write(self, id: str, row: Row | None, session: Session | None) -> None:
        keys: list[Key] = [(self.name, id)]
        if row is not None:
            row = bson.decode(bson.encode(row), _TIMES)
            for index in self._server.indexes[self.name]:
                if matches(row, index.only):
                    self._must_be_alone(row, index, session)
                    keys.append((self.name, index.name, str(row[index.field])))
        if session:
            session.write(self.name, id, row, keys)
            return
        if any(key in self._server.held for key in keys):
            raise Held
        self._server.commit({(self.name, id): row}, keys)

    def _must_be_alone(self, row: Row, index: Index, session: Session | None) -> None:
        twin = dict(index.only) | {index.field: row[index.field]}
        others = [other for other in self._matching(twin, session) if other["_id"] != row["_id"]]
        if others:
            raise DuplicateKeyError(f"E11000 {self.name}.{index.name}: {row[index.field]}", DUPLICATE)


def _changed(row: Row, change: Row) -> Row:
    changed = {**row, **change.get("$set", {})}
    for field, by in change.get("$inc", {}).items():
        changed[field] = row.get(field, 0) + by
    return changed


def matches(row: Row, query: Row) -> bool:
    for field, wanted in query.items():
        if field == "$or":
            if not any(matches(row, choice) for choice in wanted):
                return False
        elif isinstance(wanted, Mapping) and any(name.startswith("$") for name in wanted):
            if not all(_compares(value_of(row, field), how, to) for how, to in wanted.items()):
                return False
        elif value_of(row, field) != wanted:
            return False
    return True


def value_of(row: Row, field: str) -> Any:
    value: Any = row
    for name in field.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _compares(value: Any, how: str, to: Any) -> bool:
    match how:
        case "$in":
            return value in to
        case "$nin":
            return value not in to
        case "$ne":
            return bool(value != to)
        case "$lt" | "$lte" | "$gt" | "$gte" if type(value) is not type(to):
            return False
        case "$lt":
            return bool(value < to)
        case "$lte":
            return bool(value <= to)
        case "$gt":
            return bool(value > to)
        case "$gte":
            return bool(value >= to)
    raise NotImplementedError(how)


def sorted_by(rows: list[Row], order: Sequence[tuple[str, int]]) -> list[Row]:
    for field, way in reversed(order):
        rows = sorted(rows, key=lambda row: value_of(row, field), reverse=way < 0)
    return rows


def _failure(message: str, code: int) -> OperationFailure:
    return OperationFailure(message, code, {"errorLabels": ["TransientTransactionError"]})
