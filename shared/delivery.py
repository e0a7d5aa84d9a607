"""From messages to effects, each once: a batch of one partition is one transaction.

    batch ─► { fence · inbox · documents · outbox } ─► commit

The fence says which offset is next; its compare-and-set lets one process at a time act on a partition, frozen ones
included. The inbox takes away an event that stands at two offsets. What cannot be done is set aside with its reason,
in the same transaction, and the partition goes on.
"""

import asyncio
import traceback
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import structlog
from opentelemetry.trace import SpanKind, Tracer
from pydantic import ValidationError
from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError, PyMongoError

from shared import clock
from shared.audit import audit
from shared.contracts import CATALOGUE, Event
from shared.faults import fault_point
from shared.problems import Problem
from shared.reactions import Reactions
from shared.store import Contended, DatabaseDown, Store
from shared.telemetry import METRICS, span_from
from shared.unit import FEW, Document, OutboxRow, Question, Stale, Timer, Unit, under

log = structlog.get_logger()
T = TypeVar("T")

ROOT = str(Path(__file__).parents[1])
RETRY_AFTER = (0.1, 0.5, 2.0)
"""Seconds before a failed event is tried again; after the last it is set aside."""

AT_ONCE, GROWTH = 500, 8
"""Letters of one transaction: half as many after one that took too long, an eighth more after each that did not."""

LETTER_BYTES = 256 * 1024
"""A longer body goes to the dead-letter topic cut; the database keeps the whole."""

REDRIVEN_AT_ONCE = 100
"""Letters of one redriving transaction: many of a long row do not outlive what MongoDB allows a transaction."""


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

    @classmethod
    def from_mongo(cls, row: Mapping[str, Any]) -> Self:
        """A letter that was set aside, as it came."""
        return cls(**{name: row[name] for name in ("topic", "partition", "offset", "key", "headers", "body")})

    @property
    def place(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"

    @property
    def id(self) -> str:
        return self.headers.get("ce_id") or self.place

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


@dataclass
class Outcome:
    """What became of letters in one transaction. Those of no interest to the service are in none of the three."""

    handled: list[Letter] = field(default_factory=list)
    repeated: list[Letter] = field(default_factory=list)
    aside: list[tuple[Letter, Aside]] = field(default_factory=list)


@dataclass
class Redriven:
    """What a redrive came to: ids that are done with, and those that stay, each with its reason."""

    done: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)


class NoSuchLetter(LookupError):
    """No letter with this id is set aside (any more)."""


class HandlerFailed(Exception):
    def __init__(self, letter: Letter, cause: Exception) -> None:
        super().__init__(repr(cause))
        self.letter, self.cause = letter, cause


class Moved(Exception):
    """Another redrive was there first."""


class NotCommitted(Exception):
    """The transaction itself failed, not one of its handlers: which letter is to blame shows when there are fewer."""


class NotTogether(Exception):
    """Batches of several partitions do not go in one transaction."""


class TooMany(NotCommitted):
    """The letters together take longer than a transaction may; none is to blame."""


def where_it_broke(error: Exception) -> str:
    """The kind of an error and our line it came from. Its message stays out: it may hold what a person wrote."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(ROOT) and "site-packages" not in frame.filename]
    last = (ours or frames)[-1:]
    place = f" at {Path(last[0].filename).name}:{last[0].lineno}" if last else ""
    return f"{type(error).__name__}{place}"


class Delivery:
    """Hands a service's letters and timers to its reactions."""

    def __init__(self, store: Store, reactions: Reactions, *, service: str, tracer: Tracer) -> None:
        self._store, self._reactions, self._service, self._tracer = store, reactions, service, tracer
        self._at_once = AT_ONCE
        self.on_outcome: Callable[[int, int], None] = lambda dead, handled: None

    # --- events --------------------------------------------------------------------------------------------------

    async def fence(self, name: str) -> int:
        """The offset at which a partition goes on. A new partition begins at 0."""
        with suppress(DuplicateKeyError):
            await self._store.db["_fences"].insert_one({"_id": name, "next": 0})
        found = await self._store.db["_fences"].find_one({"_id": name})
        return int(found["next"]) if found else 0

    async def deliver(
        self, fence: str, expected: int, letters: Sequence[Letter], *, ours: Callable[[], bool] = lambda: True
    ) -> int:
        """Handle one partition's letters and return the next offset.

        Usually in one transaction; in as many as it takes where the machine is too slow for what one may last. No
        further one is begun once the partition is not `ours`: what is left is its next owner's.
        Raises `Fenced` when the partition is no longer at `expected`, `DatabaseDown` when nothing could be done.
        """
        at = expected
        while letters and ours():
            few = letters[: self._at_once]
            try:
                at = await self._deliver(fence, at, few)
            except TooMany as error:
                self._at_once = len(few) // 2
                log.warning("a batch takes too long, smaller ones follow", letters=len(few), error=str(error)[:300])
                continue
            letters = letters[len(few) :]
            if len(few) == self._at_once:
                self._at_once = min(AT_ONCE, self._at_once + max(1, self._at_once // GROWTH))
        return at

    async def deliver_together(self, batches: Mapping[str, tuple[int, Sequence[Letter]]]) -> dict[str, int]:
        """Handle letters of several partitions in one transaction; the next offset of each.

        One after another they would take as many transactions, and at a time they would be in each other's way where
        they are about the same people. Raises `NotTogether` when that cannot be: then each is delivered by itself.
        """
        if sum(len(letters) for _, letters in batches.values()) > self._at_once:
            raise NotTogether
        try:
            return await self._transact(batches)
        except (NotCommitted, Fenced):
            raise NotTogether from None

    async def _deliver(self, fence: str, expected: int, letters: Sequence[Letter]) -> int:
        """The same, halving the letters while their transaction fails; `TooMany` when only its length is wrong."""
        try:
            return (await self._transact({fence: (expected, letters)}))[fence]
        except TooMany:
            raise
        except NotCommitted:
            middle = len(letters) // 2
            between = await self._deliver(fence, expected, letters[:middle])
            return await self._deliver(fence, between, letters[middle:])

    async def _transact(self, batches: Mapping[str, tuple[int, Sequence[Letter]]]) -> dict[str, int]:
        """Handle letters, by their partition's fence and the offset where it stands, in one transaction."""
        letters = [letter for _, own in batches.values() for letter in own]
        events, aside = self._read_all(letters)
        ends = {fence: own[-1].offset + 1 for fence, (_, own) in batches.items()}

        async def batch(unit: Unit) -> Outcome:
            await self._move_fences(unit, {fence: (at, ends[fence]) for fence, (at, _) in batches.items()})
            outcome = await self._handle(unit, letters, events, aside)
            await self._set_aside(unit, outcome.aside)
            return outcome

        outcome = await self._decide(batch, letters, aside)
        METRICS.batch_size.labels(self._service).observe(len(letters))
        METRICS.repeated.labels(self._service).inc(len(outcome.repeated))
        for type_, times in Counter(letter.headers["ce_type"] for letter in outcome.handled).items():
            METRICS.handled.labels(self._service, type_).inc(times)
        for _, why in outcome.aside:
            METRICS.dead.labels(self._service, why.kind).inc()
        self.on_outcome(sum(why.kind != "parked" for _, why in outcome.aside), len(outcome.handled))
        return ends

    async def _decide(
        self, work: Callable[[Unit], Awaitable[T]], letters: Sequence[Letter], aside: dict[str, Aside]
    ) -> T:
        """Run a transaction over letters until it commits, noting in `aside` those that stand in its way.

        Raises `NotCommitted` when it is not known which of several does, `TooMany` when they take too long together,
        `DatabaseDown` when nothing could be done.
        """
        failures: Counter[str] = Counter()
        while True:
            try:
                with METRICS.batch_seconds.labels(self._service).time():
                    return await self._store.transact(work)
            except HandlerFailed as failure:
                letter = failure.letter
                failures[letter.place] += 1
                tries = failures[letter.place]
                if isinstance(failure.cause, Problem):
                    aside[letter.place] = Aside("refused", str(failure.cause))
                elif tries > len(RETRY_AFTER):
                    aside[letter.place] = Aside("failed", where_it_broke(failure.cause))
                    log.error("event set aside", event_id=letter.id, exc_info=failure.cause)
                else:
                    await asyncio.sleep(RETRY_AFTER[tries - 1])
            except (Fenced, Moved, DatabaseDown):
                raise
            except Contended as error:
                if len(letters) > 1:
                    raise TooMany(str(error)) from error
                raise DatabaseDown(str(error)) from error
            except Exception as error:
                if len(letters) > 1:
                    raise NotCommitted from error
                if letters[0].place in aside:
                    raise DatabaseDown(repr(error)) from error
                aside[letters[0].place] = Aside("failed", where_it_broke(error))
                log.error("event set aside", event_id=letters[0].id, exc_info=error)

    def _read_all(self, letters: Sequence[Letter]) -> tuple[dict[str, Event | None], dict[str, Aside]]:
        """The events in letters, by place, and why others are none."""
        events: dict[str, Event | None] = {}
        aside: dict[str, Aside] = {}
        for letter in letters:
            try:
                events[letter.place] = self._read(letter)
            except Unreadable as error:
                aside[letter.place] = Aside("unreadable", str(error))
        return events, aside

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

    async def _move_fences(self, unit: Unit, moves: Mapping[str, tuple[int, int]]) -> None:
        """Take partitions from one offset to another. Raises `Fenced` when one is elsewhere by now."""
        fences = unit.db["_fences"]
        moved = await fences.bulk_write(
            [UpdateOne({"_id": fence, "next": at}, {"$set": {"next": end}}) for fence, (at, end) in moves.items()],
            ordered=False,
            session=unit.session,
        )
        if moved.matched_count < len(moves):
            rows = fences.find({"_id": {"$in": list(moves)}}, session=unit.session)
            found = dict.fromkeys(moves, 0) | {row["_id"]: row["next"] async for row in rows}
            raise Fenced(next(found[fence] for fence, (_, end) in moves.items() if found[fence] != end))

    async def _blocked(self, unit: Unit, letters: Sequence[Letter]) -> set[str]:
        """The streams of these letters in which an earlier letter waits."""
        streams = list({letter.stream for letter in letters})
        rows = unit.db["_blocked"].find({"_id": {"$in": streams}}, {"_id": 1}, session=unit.session)
        return {row["_id"] async for row in rows}

    async def _handle(
        self,
        unit: Unit,
        letters: Sequence[Letter],
        events: Mapping[str, Event | None],
        aside: Mapping[str, Aside],
        *,
        waited: bool = False,
    ) -> Outcome:
        """Run the reactions to those letters that are new, readable, and of no blocked stream: or have waited in it."""
        outcome = Outcome()
        wanted = [letter for letter in letters if letter.place in aside or events[letter.place] is not None]
        if not wanted:
            return outcome
        needs = self._needs([e for letter in wanted if letter.place not in aside and (e := events[letter.place])])
        seen, some_blocked = await self._look(unit, [letter.id for letter in wanted], needs)
        blocked = await self._blocked(unit, letters) if some_blocked and not waited else set()
        todo: list[tuple[Letter, Event]] = []
        for letter in wanted:
            if letter.id in seen:
                outcome.repeated.append(letter)
                continue
            seen.add(letter.id)
            event = events.get(letter.place)
            why = aside.get(letter.place)
            if why is None and letter.stream in blocked:
                why = Aside("parked", "an earlier event of the same subject waits")
            if why is not None:
                if why.blocks:
                    blocked.add(letter.stream)
                outcome.aside.append((letter, why))
            elif event is not None:
                outcome.handled.append(letter)
                todo.append((letter, event))
        if todo:
            marks = [{"_id": letter.id, "at": unit.now} for letter in outcome.handled]
            await unit.db["_inbox"].insert_many(marks, session=unit.session)
        for letter, event in todo:
            await self._react(unit, letter, event)
            fault_point("mid_batch")
        return outcome

    def _needs(self, events: Sequence[Event]) -> dict[type[Document], set[str]]:
        """The documents that the reactions to these events will ask for."""
        wanted: dict[type[Document], set[str]] = defaultdict(set)
        for event in events:
            needs = self._reactions.events[event.type].needs
            for kind, id in needs(event) if needs else ():
                wanted[kind].add(id)
        return wanted

    async def _look(
        self, unit: Unit, letters: Sequence[str], needs: Mapping[type[Document], set[str]]
    ) -> tuple[set[str], bool]:
        """Which of these letters were handled before, and whether any stream is blocked; what is needed is at hand.

        Of a few documents all of this is one question.
        """
        before: Question = "_inbox", [{"$match": {"_id": {"$in": letters}}}, {"$project": {"_id": 1}}]
        some: Question = "_blocked", [{"$limit": 1}]
        asked = needs if sum(map(len, needs.values())) <= FEW else {}
        handled, blocked, *found = await unit.ask(before, some, *(under(kind, ids) for kind, ids in asked.items()))
        for (kind, ids), rows in zip(asked.items(), found, strict=True):
            unit.hand(kind, ids, rows)
        await unit.load_each(needs)
        return {row["_id"] for row in handled}, bool(blocked)

    async def _react(self, unit: Unit, letter: Letter, event: Event) -> None:
        attributes: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.destination.name": letter.topic,
            "messaging.kafka.offset": letter.offset,
            "messaging.message.id": letter.id,
        }
        name = f"process {event.type}"
        with span_from(self._tracer, name, letter.headers, SpanKind.CONSUMER, attributes):
            try:
                await self._reactions.events[event.type].handler(event, unit)
            except (Stale, PyMongoError):
                raise
            except Exception as error:
                raise HandlerFailed(letter, error) from error

    async def _set_aside(self, unit: Unit, aside: Sequence[tuple[Letter, Aside]]) -> None:
        """Keep letters whole in the database, and tell the dead-letter topic."""
        for letter, why in aside:
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
            await unit.db["_dead"].update_one(
                {"_id": letter.id}, {"$setOnInsert": row}, upsert=True, session=unit.session
            )
            unit.post_letter(self._dead_letter(letter, why, unit))
        await self._block(unit, Counter(letter.stream for letter, why in aside if why.blocks))

    async def _block(self, unit: Unit, streams: Mapping[str, int]) -> None:
        """Note that letters wait in these streams.

        Always a change of the stream's one document, which a release deletes: two transactions of which one parks a
        letter and the other finds none waiting conflict here, so that no letter waits in a stream that is open.
        """
        if streams:
            await unit.db["_blocked"].bulk_write(
                [
                    UpdateOne(
                        {"_id": stream}, {"$inc": {"letters": n}, "$setOnInsert": {"since": unit.now}}, upsert=True
                    )
                    for stream, n in streams.items()
                ],
                session=unit.session,
            )

    def _dead_letter(self, letter: Letter, why: Aside, unit: Unit) -> OutboxRow:
        return OutboxRow(
            id=clock.new_id(),
            topic=f"{self._service}.dead",
            key=letter.key or b"",
            stream=f"dead:{letter.place}",
            sequence=1,
            headers={
                **letter.headers,
                "dead_reason": why.reason,
                "dead_kind": why.kind,
                "dead_origin": letter.place,
                "dead_service": self._service,
            },
            body=letter.body[:LETTER_BYTES],
            at=unit.now,
        )

    # --- dead letters --------------------------------------------------------------------------------------------

    async def redrive(self, id: str, *, by: str) -> Redriven:
        """Handle a letter that was set aside, and with it those that wait in its stream, in the order of the log.

        A letter that was refused or unreadable is handled by itself, unless a failed one waits before it. What goes
        wrong again stays, with its new reason; behind one that fails again all go on waiting. Each transaction leaves
        its row in the audit, under the name of whoever asked (`by`).

        Raises `NoSuchLetter`, and `DatabaseDown` when nothing could be done.
        """
        row = await self._store.db["_dead"].find_one({"_id": id}, {"stream": 1})
        if row is None:
            raise NoSuchLetter(id)
        alone = id not in await self.waiting(row["stream"])
        result, at_once = Redriven(), REDRIVEN_AT_ONCE
        while True:
            ids = [id] if alone else await self.waiting(row["stream"])
            letters = await self._letters(ids[:at_once])
            if not letters:
                return result
            try:
                outcome = await self._redrive(letters, by)
            except NotCommitted:
                at_once = len(letters) // 2
                continue
            except Moved:
                continue
            left = {letter.id: why for letter, why in outcome.aside}
            result.done += [letter.id for letter in letters if letter.id not in left]
            result.left |= {id: why.reason for id, why in left.items()}
            if alone or any(why.blocks for why in left.values()):
                return result

    async def _redrive(self, letters: Sequence[Letter], by: str) -> Outcome:
        events, aside = self._read_all(letters)
        ids, stream = [letter.id for letter in letters], letters[0].stream

        async def again(unit: Unit) -> Outcome:
            dead = unit.db["_dead"]
            rows = await dead.find({"_id": {"$in": ids}}, {"blocks": 1}, session=unit.session).to_list()
            if len(rows) != len(ids):
                raise Moved
            blocking = {row["_id"] for row in rows if row["blocks"]}
            outcome = await self._handle(unit, letters, events, aside, waited=True)
            stay = {letter.id for letter, _ in outcome.aside}
            await dead.delete_many({"_id": {"$in": [id for id in ids if id not in stay]}}, session=unit.session)
            for letter, why in outcome.aside:
                if why.kind != "parked":
                    change = {"kind": why.kind, "reason": why.reason, "blocks": why.blocks and letter.id in blocking}
                    await dead.update_one({"_id": letter.id}, {"$set": change}, session=unit.session)
            await self._release(unit, stream)
            left = [{"letter": letter.id, "kind": why.kind, "reason": why.reason} for letter, why in outcome.aside]
            await audit(unit, by, "redrive", letters=ids, left=left)
            return outcome

        return await self._decide(again, letters, aside)

    async def drop(self, id: str, *, by: str) -> Redriven:
        """Give a letter up for good; when others waited behind it, redrive them.

        Its event is never handled, also when it stands in the log once more. Raises as `redrive` does.
        """
        row = await self._store.db["_dead"].find_one({"_id": id}, {"stream": 1})
        if row is None:
            raise NoSuchLetter(id)
        first = (await self.waiting(row["stream"]))[:1] == [id]

        async def forget(unit: Unit) -> None:
            row = await unit.db["_dead"].find_one_and_delete({"_id": id}, session=unit.session)
            if row is None:
                raise NoSuchLetter(id)
            # An unreadable letter's id may be anything, also that of an event that is good.
            if row["kind"] != "unreadable":
                await unit.db["_inbox"].update_one(
                    {"_id": id}, {"$setOnInsert": {"at": unit.now}}, upsert=True, session=unit.session
                )
            await self._release(unit, row["stream"])
            await audit(unit, by, "drop", letters=[id], kind=row["kind"], reason=row["reason"])

        await self._store.transact(forget)
        behind = await self.waiting(row["stream"]) if first else []
        return await self.redrive(behind[0], by=by) if behind else Redriven()

    async def _release(self, unit: Unit, stream: str) -> None:
        """Let a stream's events through again when none of its letters holds them up."""
        waits = {"stream": stream, "blocks": True}
        if not await unit.db["_dead"].find_one(waits, {"_id": 1}, session=unit.session):
            await unit.db["_blocked"].delete_one({"_id": stream}, session=unit.session)

    async def waiting(self, stream: str) -> list[str]:
        """The ids of a stream's letters from the first that holds up others, in the order of the log."""
        order = [("partition", 1), ("offset", 1)]
        rows = await self._store.db["_dead"].find({"stream": stream}, {"blocks": 1}, sort=order).to_list()
        first = next((n for n, row in enumerate(rows) if row["blocks"]), len(rows))
        return [row["_id"] for row in rows[first:]]

    async def _letters(self, ids: Sequence[str]) -> list[Letter]:
        rows = {row["_id"]: row async for row in self._store.db["_dead"].find({"_id": {"$in": list(ids)}})}
        return [Letter.from_mongo(rows[id]) for id in ids if id in rows]

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
