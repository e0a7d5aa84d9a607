"""MongoDB as a service uses it: one database each, units as transactions, indexes at the start."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import structlog
from pymongo import ASCENDING, AsyncMongoClient, IndexModel
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from shared.group import Groups, InTheWay, passes
from shared.telemetry import METRICS
from shared.unit import ANCHOR, Document, Stale, Unit

log = structlog.get_logger()
T = TypeVar("T")

INBOX_DAYS = 14
"""How long an event id is remembered: twice the topics' retention (a test holds the two together)."""

IDEMPOTENCY_HOURS = 24

NO_SUCH_TRANSACTION = 251
LONG_SECONDS = 1.0
"""A transaction that the server does not know after so long was ended for its age, not lost in a restart."""


class DatabaseDown(Exception):
    """Our own database does not answer. What was being done is kept and tried again."""


class Contended(Exception):
    """A unit lost every race for its documents in the time it had."""


class TooLong(Contended):
    """MongoDB ended a unit's transaction before it was through: the same work would meet the same end."""


class Store:
    """A service's database: `transact` runs work in a unit that commits whole, `reading` gives one that only reads."""

    def __init__(self, client: AsyncMongoClient[dict[str, Any]], name: str, *, source: str) -> None:
        self.client = client
        self.db = client.get_database(
            name, read_concern=ReadConcern("majority"), write_concern=WriteConcern("majority", j=True)
        )
        self.source = source
        self.after_commit: Callable[[Unit], None] = lambda unit: None
        # A crowd at one document makes every transaction slower than a queue for it does.
        self._turns = asyncio.Semaphore(16)
        self._groups = Groups(self._attempt, self.transact, source=source)

    def reading(self) -> Unit:
        return Unit(self.db, None, source=self.source)

    async def prepare(self, documents: Sequence[type[Document]]) -> None:
        """Create collections and indexes: inside transactions neither may be made. Safe to repeat and to race."""
        existing = set(await self.db.list_collection_names())
        for kind in documents:
            await self._collection(kind.collection, list(kind.indexes), existing)
        await self._collection("_fences", [], existing)
        await self._collection(ANCHOR, [], existing)
        await self.db[ANCHOR].update_one({"_id": 1}, {"$setOnInsert": {"_id": 1}}, upsert=True)
        await self._collection("_keys", [], existing)
        await self._collection("_streams", [], existing)
        await self._collection("_leases", [], existing)
        await self._collection("_fuses", [], existing)
        await self._collection("_blocked", [], existing)
        await self._collection("_audit", [IndexModel("at")], existing)
        await self._collection("_inbox", [_expiring("at", INBOX_DAYS * 86_400)], existing)
        await self._collection("_answers", [_expiring("at", IDEMPOTENCY_HOURS * 3_600)], existing)
        await self._collection("_outbox", [IndexModel([("stream", ASCENDING), ("sequence", ASCENDING)])], existing)
        await self._collection("_timers", [IndexModel("due_at")], existing)
        await self._collection(
            "_dead", [IndexModel([("stream", ASCENDING), ("blocks", ASCENDING)]), IndexModel("at")], existing
        )

    async def _collection(self, name: str, indexes: list[IndexModel], existing: set[str]) -> None:
        if name not in existing:
            try:
                await self.db.create_collection(name)
            except OperationFailure as error:
                if error.code != 48:  # another replica made it first
                    raise
        if indexes:
            await self.db[name].create_indexes(indexes)

    async def transact(self, work: Callable[[Unit], Awaitable[T]], *, within: float = 20.0) -> T:
        """Run `work` in a unit and commit it; again from the start when another unit was in the way.

        Raises what `work` raises, `DatabaseDown` when MongoDB does not answer, `Contended` after `within` seconds, of
        which `TooLong` says that less work at a time would do.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        attempt = 0
        while True:
            attempt += 1
            began = loop.time()
            try:
                async with self._turns:
                    began = loop.time()
                    result: T = await self._attempt(work)
                    return result
            except InTheWay as met:
                reason = met.reason
            if _code(reason) == NO_SUCH_TRANSACTION and loop.time() - began > LONG_SECONDS:
                raise TooLong(str(reason)) from reason
            METRICS.unit_retries.labels(self.source).inc()
            if loop.time() > deadline:
                if isinstance(reason, ConnectionFailure):
                    raise DatabaseDown(str(reason)) from reason
                raise Contended(str(reason)) from reason
            await asyncio.sleep(random.uniform(0, min(0.2, 0.002 * 2**attempt)))

    async def command(self, work: Callable[[Unit], Awaitable[T]]) -> T:
        """As `transact`, together with what others ask for at the same time, where that can be (`shared.group`)."""
        return await self._groups.run(work)

    async def _attempt(self, work: Callable[[Unit], Awaitable[T]]) -> T:
        """Run and commit `work` once. Raises `InTheWay` when another unit was, and `DatabaseDown`."""
        try:
            return await self._once(work)
        except (Stale, PyMongoError) as error:
            if passes(error):
                raise InTheWay(error) from error
            if isinstance(error, ConnectionFailure):
                raise DatabaseDown(str(error)) from error
            raise

    async def _once(self, work: Callable[[Unit], Awaitable[T]]) -> T:
        async with self.client.start_session() as session:
            await session.start_transaction(
                read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority", j=True)
            )
            try:
                unit = Unit(self.db, session, source=self.source)
                result = await work(unit)
                await unit.flush()
            except BaseException:
                if session.in_transaction:
                    await session.abort_transaction()
                raise
            await self._commit(session)
        self.after_commit(unit)
        return result

    async def _commit(self, session: Any) -> None:
        """A commit whose answer was lost may be sent again: the server knows what it has committed."""
        for attempt in range(5):
            try:
                await session.commit_transaction()
                return
            except PyMongoError as error:
                if not error.has_error_label("UnknownTransactionCommitResult") or attempt == 4:
                    raise
                await asyncio.sleep(0.1 * 2**attempt)


def connect(url: str) -> AsyncMongoClient[dict[str, Any]]:
    """A client that gives up on a silent server in seconds, so that callers hear of it."""
    return AsyncMongoClient(
        url,
        tz_aware=True,
        serverSelectionTimeoutMS=5_000,
        connectTimeoutMS=5_000,
        socketTimeoutMS=30_000,
        retryWrites=True,
    )


def _code(error: Exception) -> int | None:
    return error.code if isinstance(error, OperationFailure) else None


def _expiring(field: str, seconds: int) -> IndexModel:
    return IndexModel(field, expireAfterSeconds=seconds)
