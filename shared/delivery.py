"""From messages to effects, each once: a batch of one partition is one transaction.

    batch ─► { fence · inbox · documents · outbox } ─► commit

The fence says which offset is next; its compare-and-set lets one process at a time act on a partition, frozen ones
included. The inbox takes away an event that stands at two offsets. What cannot be done is set aside with its reason,
in the same transaction, and the partition goes on.
"""

import asyncio
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import structlog
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from pydantic import ValidationError
from pymongo.errors import DuplicateKeyError, PyMongoError

from shared import clock
from shared.contracts import CATALOGUE, Event
from shared.faults import fault_point
from shared.problems import Problem
from shared.reactions import Reactions
from shared.store import Contended, DatabaseDown, Store
from shared.telemetry import METRICS, span_from
from shared.unit import OutboxRow, Stale, Timer, Unit

log = structlog.get_logger()

RETRY_AFTER = (0.1, 0.5, 2.0)
"""Seconds before a failed event is tried again; after the last it is set aside."""

LETTER_BYTES = 256 * 1024
"""A longer body goes to the dead-letter topic cut; the database keeps the whole."""


class Fenced(Exception):
    """Another process did this batch, or a later one: `at` is the offset to go on from."""

    def __init__(self, at: int) -> None:
        super().__init__(f"the partition is at {at}")
        self.at = at


class Unreadable(Exception):
    """The message is no event that we know."""


@dataclass(frozen=True)
class Letter:
    """One message as it came from Kafka."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers.get("ce_id") or f"{self.topic}:{self.partition}:{self.offset}"

    @property
    def stream(self) -> str:
        return f"{self.topic}:{self.headers.get('ce_subject', '')}"


@dataclass(frozen=True)
class Aside:
    """Why an event is not handled. Later events of an aggregate wait behind a `failed` one."""

    kind: Literal["unreadable", "refused", "failed", "parked"]
    reason: str

    @property
    def blocks(self) -> bool:
        return self.kind in ("failed", "parked")


class HandlerFailed(Exception):
    def __init__(self, letter: Letter, cause: Exception) -> None:
        super().__init__(repr(cause))
        self.letter, self.cause = letter, cause


def where_it_broke(error: Exception) -> str:
    """The kind of an error and the line it came from. Its message stays out: it may hold what a person wrote."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


class Delivery:
    """Hands a service's letters and timers to its reactions."""

    def __init__(self, store: Store, reactions: Reactions, *, service: str, tracer: Tracer) -> None:
        self._store, self._reactions, self._service, self._tracer = store, reactions, service, tracer
        self.on_outcome: Callable[[int, int], None] = lambda dead, handled: None

    # --- events --------------------------------------------------------------------------------------------------

    async def fence(self, name: str) -> int:
        """The offset at which a partition goes on. A new partition begins at 0."""
        with suppress(DuplicateKeyError):
            await self._store.db["_fences"].insert_one({"_id": name, "next": 0})
        found = await self._store.db["_fences"].find_one({"_id": name})
        return int(found["next"]) if found else 0

    async def deliver(self, fence: str, expected: int, letters: Sequence[Letter]) -> int:
        """Handle one partition's letters and return the next offset.

        Raises `Fenced` when the partition is no longer at `expected`, `DatabaseDown` when nothing could be done.
        """
        events: dict[int, Event | None] = {}
        aside: dict[int, Aside] = {}
        for letter in letters:
            try:
                events[letter.offset] = self._read(letter)
            except Unreadable as error:
                aside[letter.offset] = Aside("unreadable", str(error))
        failures: dict[int, int] = {}
        end = letters[-1].offset + 1

        async def batch(unit: Unit) -> tuple[list[str], int]:
            await self._move_fence(unit, fence, expected, end)
            return await self._handle(unit, letters, events, aside)

        while True:
            try:
                with METRICS.batch_seconds.labels(self._service).time():
                    handled, repeated = await self._store.transact(batch)
                break
            except HandlerFailed as failure:
                offset = failure.letter.offset
                tries = failures[offset] = failures.get(offset, 0) + 1
                if isinstance(failure.cause, Problem):
                    aside[offset] = Aside("refused", str(failure.cause))
                elif tries > len(RETRY_AFTER):
                    aside[offset] = Aside("failed", where_it_broke(failure.cause))
                    log.error("event set aside", event_id=failure.letter.id, exc_info=failure.cause)
                else:
                    await asyncio.sleep(RETRY_AFTER[tries - 1])
            except (Fenced, DatabaseDown):
                raise
            except Contended as error:
                raise DatabaseDown(str(error)) from error
            except Exception as error:
                # The commit itself failed: which event is to blame shows when the batch is halved down to it.
                if len(letters) == 1:
                    if letters[0].offset in aside:
                        raise DatabaseDown(repr(error)) from error
                    aside[letters[0].offset] = Aside("failed", where_it_broke(error))
                    log.error("event set aside", event_id=letters[0].id, exc_info=error)
                    continue
                middle = len(letters) // 2
                between = await self.deliver(fence, expected, letters[:middle])
                return await self.deliver(fence, between, letters[middle:])
        METRICS.batch_size.labels(self._service).observe(len(letters))
        METRICS.repeated.labels(self._service).inc(repeated)
        for type_, times in Counter(handled).items():
            METRICS.handled.labels(self._service, type_).inc(times)
        for why in aside.values():
            METRICS.dead.labels(self._service, why.kind).inc()
        self.on_outcome(sum(why.kind != "parked" for why in aside.values()), len(handled))
        return end

    def _read(self, letter: Letter) -> Event | None:
        """The event in a letter; None when it is one this service does not react to."""
        for name in ("ce_id", "ce_type", "ce_subject"):
            if not letter.headers.get(name):
                raise Unreadable(f"header {name} is missing")
        type_ = letter.headers["ce_type"]
        kind = self._reactions.kinds.get(type_)
        if kind is None:
            if type_ not in CATALOGUE:
                raise Unreadable(f"unknown type {type_}")
            return None
        if kind.topic != letter.topic:
            raise Unreadable(f"{type_} belongs to topic {kind.topic}")
        try:
            return kind.model_validate_json(letter.body)
        except ValidationError as error:
            # The values stay out of reasons and logs: only where, and what was expected.
            where = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
            raise Unreadable(f"body is no {type_}: {where[:500]}") from None

    async def _move_fence(self, unit: Unit, fence: str, expected: int, end: int) -> None:
        moved = await unit.db["_fences"].update_one(
            {"_id": fence, "next": expected}, {"$set": {"next": end}}, session=unit.session
        )
        if not moved.matched_count:
            found = await unit.db["_fences"].find_one({"_id": fence}, session=unit.session)
            raise Fenced(found["next"] if found else 0)

    async def _handle(
        self, unit: Unit, letters: Sequence[Letter], events: Mapping[int, Event | None], aside: dict[int, Aside]
    ) -> tuple[list[str], int]:
        """Run the reactions; returns the types handled, and how many events were seen before."""
        wanted = [letter for letter in letters if letter.offset in aside or events[letter.offset] is not None]
        if not wanted:
            return [], 0
        ids = [letter.id for letter in wanted]
        seen = {row["_id"] async for row in unit.db["_inbox"].find({"_id": {"$in": ids}}, session=unit.session)}
        blocked = {
            row["stream"]
            async for row in unit.db["_dead"].find(
                {"stream": {"$in": [letter.stream for letter in wanted]}, "blocks": True}, session=unit.session
            )
        }
        todo: list[tuple[Letter, Event]] = []
        marks: list[dict[str, Any]] = []
        repeated = 0
        for letter in wanted:
            if letter.id in seen:
                repeated += 1
                continue
            seen.add(letter.id)
            event = events.get(letter.offset)
            why = aside.get(letter.offset)
            if why is None and letter.stream in blocked:
                why = Aside("parked", "an earlier event of the same subject waits")
            if why is not None:
                if why.blocks:
                    blocked.add(letter.stream)
                await self._set_aside(unit, letter, why)
            elif event is not None:
                marks.append({"_id": letter.id, "at": unit.now})
                todo.append((letter, event))
        if marks:
            await unit.db["_inbox"].insert_many(marks, session=unit.session)
        await self._preload(unit, [event for _, event in todo])
        for letter, event in todo:
            await self._react(unit, letter, event)
            fault_point("mid_batch")
        return [event.type for _, event in todo], repeated

    async def _preload(self, unit: Unit, events: Sequence[Event]) -> None:
        wanted: dict[type[Any], list[str]] = {}
        for event in events:
            needs = self._reactions.events[event.type].needs
            for kind, id in needs(event) if needs else ():
                wanted.setdefault(kind, []).append(id)
        for kind, ids in wanted.items():
            await unit.load(kind, ids)

    async def _react(self, unit: Unit, letter: Letter, event: Event) -> None:
        attributes: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.destination.name": letter.topic,
            "messaging.kafka.offset": letter.offset,
            "messaging.message.id": letter.id,
        }
        name = f"process {event.type}"
        with span_from(self._tracer, name, letter.headers, SpanKind.CONSUMER, attributes) as span:
            try:
                await self._reactions.events[event.type].handler(event, unit)
            except (Stale, PyMongoError):
                raise
            except Exception as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise HandlerFailed(letter, error) from error

    async def _set_aside(self, unit: Unit, letter: Letter, why: Aside) -> None:
        """Keep the letter whole in the database, and tell the dead-letter topic."""
        row = {
            "topic": letter.topic,
            "partition": letter.partition,
            "offset": letter.offset,
            "key": letter.key,
            "headers": dict(letter.headers),
            "body": letter.body,
            "stream": letter.stream,
            "kind": why.kind,
            "reason": why.reason,
            "blocks": why.blocks,
            "at": unit.now,
        }
        await unit.db["_dead"].update_one({"_id": letter.id}, {"$setOnInsert": row}, upsert=True, session=unit.session)
        unit.post_letter(
            OutboxRow(
                id=clock.new_id(),
                topic=f"{self._service}.dead",
                key=letter.key or b"",
                stream=f"dead:{letter.topic}:{letter.partition}:{letter.offset}",
                sequence=1,
                headers={
                    **letter.headers,
                    "dead_reason": why.reason,
                    "dead_kind": why.kind,
                    "dead_origin": f"{letter.topic}:{letter.partition}:{letter.offset}",
                    "dead_service": self._service,
                },
                body=letter.body[:LETTER_BYTES],
                at=unit.now,
            )
        )

    # --- timers --------------------------------------------------------------------------------------------------

    async def fire(self, timer: Timer) -> bool:
        """Run the reaction to a timer that is due, once: the timer goes in the transaction of its effect.

        False when it was cancelled, moved or fired by another process meanwhile. Raises what the reaction raises.
        """
        handler = self._reactions.timers.get(timer.name)
        if handler is None:
            raise LookupError(f"no reaction to timer {timer.name}")

        async def work(unit: Unit) -> bool:
            gone = await unit.db["_timers"].delete_one({"_id": timer.id, "due_at": timer.due_at}, session=unit.session)
            if not gone.deleted_count:
                return False
            with span_from(self._tracer, f"timer {timer.name}", timer.trace, SpanKind.INTERNAL, {}):
                await handler(timer, unit)
            return True

        fired = await self._store.transact(work)
        if fired:
            METRICS.timers_fired.labels(self._service, timer.name).inc()
        return fired
