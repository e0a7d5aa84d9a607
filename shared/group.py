"""Commands that arrive together commit together: one transaction, and one question for what many of them ask.

    group          one transaction's unit; it reads for its members, and writes what they leave
    member         the unit of one command: it keeps to itself what it writes, and leaves it only when it is through

Members run at the same time on the group's snapshot. One that is refused leaves nothing. Those that read what one
before them has changed run again afterwards, one by one and each on top of those before, so that the outcome is that of
one after the other. What they ask again is known by then, and what has become of it is worked out here, so that a line
of them at one document asks the database little more than one does.

Whoever cannot share a transaction (it works on the database by itself, or asks for what it has just written), and
everybody whose group met another transaction twice, goes on alone (Gray and Reuter, Transaction Processing, 9.4.7:
group commit).
"""

import asyncio
import re
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from datetime import datetime
from operator import ge, gt, le, lt
from typing import Any, NoReturn, TypeGuard, TypeVar

from bson.regex import Regex
from pymongo.errors import DuplicateKeyError, PyMongoError

from shared.telemetry import METRICS
from shared.unit import Document, Find, Rows, Stale, Unit

T = TypeVar("T")

Work = Callable[[Unit], Awaitable[Any]]

MEMBERS_AT_MOST = 32
COMPANY, DELAY_SECONDS = 3, 0.002
"""Where so many came together just now, more are on their way: a moment is waited for them, and nobody waits alone
(PostgreSQL's commit_siblings and commit_delay)."""


GROUP_TRIES = 2
"""So often a group is tried that another transaction is in the way of: alone each would meet it, and the others too."""


class Alone(Exception):
    """This command cannot share a transaction."""


class InTheWay(Exception):
    """Another transaction was in the way of this one, which has left nothing. `reason` says how."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.reason = reason


def passes(reason: Exception) -> bool:
    """Whether another transaction was in the way of one, which may go through when it is tried again."""
    return isinstance(reason, Stale | DuplicateKeyError) or (
        isinstance(reason, PyMongoError) and reason.has_error_label("TransientTransactionError")
    )


@dataclass
class Alike:
    """Queries that differ in the value of one field (`varies`): the values to ask for, and what was found for each."""

    kind: type[Document]
    varies: str | None
    rest: Mapping[str, Any]
    options: Mapping[str, Any]
    wanted: set[str] = field(default_factory=set)
    found: dict[str, Rows] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)

    def asked(self) -> Find:
        """One query for all that is wanted."""
        self._asked, self.wanted = self.wanted, set()
        among = {self.varies: {"$in": sorted(self._asked)}} if self.varies else {}
        return Find(self.kind, {**self.rest, **among}, **self.options)

    def take(self, rows: Rows) -> None:
        """What it found."""
        for value in self._asked:
            self.found[value] = [row for row in rows if self.varies is None or _is(row.get(self.varies), value)]


class Question:
    """What is asked with the next command; `done` once it is answered, or an `error` came of it."""

    def __init__(self) -> None:
        self.ids: dict[type[Document], set[str]] = defaultdict(set)
        self.queries: dict[str, Alike] = {}
        self.asked = False
        self.done = asyncio.Event()
        self.error: BaseException | None = None


class Group:
    """One transaction: what its members read of it, and what they leave to it.

    First all run at a time, on what was there before; then, one by one, those that have to run again. The next question
    is asked when each of those who run waits for an answer, so that they stay in step and it is one for all of them.
    """

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.changed: set[tuple[type[Document], str]] = set()
        """By members, since those who run now began."""
        self._changed_before: set[tuple[type[Document], str]] = set()
        self._running: set[Member] = set()
        self._waiting: set[Member] = set()
        self._next = Question()
        self._rows: dict[tuple[type[Document], str], dict[str, Any] | None] = {}
        self._asked: dict[str, Alike] = {}
        self._before: dict[tuple[type[Document], str], dict[str, Any] | None] = {}

    def begin(self, *members: "Member") -> None:
        """These run now, and see what was left until now."""
        self._running = {*members}
        self._changed_before |= self.changed
        self.changed = set()
        self._before.clear()

    async def end(self, member: "Member") -> None:
        """A member has come to its end, so that nobody has to wait for its next question."""
        self._running.discard(member)
        await self._ask_if_all_wait()

    async def with_ids(
        self, member: "Member", wanted: Mapping[type[Document], Sequence[str]]
    ) -> dict[type[Document], Rows]:
        """The rows under these ids."""
        known = self._rows.keys() | self._changed_before
        lacking = {kind: {id for id in ids if (kind, id) not in known} for kind, ids in wanted.items()}
        for kind, unknown in lacking.items():
            self._next.ids[kind] |= unknown
        if any(lacking.values()):
            await self._answer(member)
        for kind, ids in wanted.items():
            for id in ids:
                if (kind, id) not in self._before:
                    self._before[kind, id] = await self._row(kind, id)
        return {kind: [row for id in ids if (row := self._before[kind, id])] for kind, ids in wanted.items()}

    async def _answer(self, member: "Member") -> None:
        """Wait for the next answer."""
        question = self._next
        self._waiting.add(member)
        await self._ask_if_all_wait()
        await question.done.wait()
        if question.error:
            raise question.error

    async def _ask_if_all_wait(self) -> None:
        question = self._next
        if not self._running <= self._waiting:
            return
        await asyncio.sleep(0)  # a member may ask for several things at a time
        if question.asked or not self._running <= self._waiting:
            return
        question.asked, self._next, self._waiting = True, Question(), set()
        try:
            await self._ask(question)
        except BaseException as error:
            question.error = error
            raise
        finally:
            question.done.set()

    async def _ask(self, question: Question) -> None:
        """Ask what those who run want to know, with one command where that can be."""
        ids = {kind: [*wanted] for kind, wanted in question.ids.items() if wanted}
        queries = [*question.queries.values()]
        if not ids and not queries:
            return
        by_id, found = await self.unit.together(ids, [alike.asked() for alike in queries])
        for kind, rows in by_id.items():
            under = {row["_id"]: row for row in rows}
            self._rows |= {(kind, id): under.get(id) for id in ids[kind]}
        for alike, rows in zip(queries, found, strict=True):
            alike.take(rows)
            for row in rows:
                self._before.setdefault((alike.kind, row["_id"]), row)

    async def _row(self, kind: type[Document], id: str) -> dict[str, Any] | None:
        if (kind, id) in self._changed_before:
            document = await self.unit.get(kind, id)
            return document.to_mongo() if document else None
        return self._rows[kind, id]

    async def matching(
        self, member: "Member", kind: type[Document], query: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Rows:
        """What a query finds; one question for those that are the same, or differ in one field's value only."""
        varies = None if options.get("limit") or options.get("skip") else _varying(query)
        value: str = query[varies] if varies else ""
        rest = {name: wanted for name, wanted in query.items() if name != varies}
        key = repr((kind, varies, rest, options))
        alike = self._asked.setdefault(key, Alike(kind, varies, rest, options))
        if value in alike.found:
            rows = await self._by_now(kind, query, options, alike.found[value])
            if rows is not None:
                return rows
            del alike.found[value]
        alike.wanted.add(value)
        self._next.queries[key] = alike
        await self._answer(member)
        return alike.found[value]

    async def _by_now(
        self, kind: type[Document], query: Mapping[str, Any], options: Mapping[str, Any], rows: Rows
    ) -> Rows | None:
        """What a query finds that has found these rows before; None when that has to be asked."""
        changed = [id for each, id in self._changed_before if each is kind]
        if not changed:
            return rows
        limit, still = options.get("limit", 0), [row for row in rows if row["_id"] not in changed]
        for id in changed:
            document = await self.unit.get(kind, id)
            row = document.to_mongo() if document else None
            met = meets(row, query) if row else False
            if met is None or (met and options.get("sort")):
                return None
            if met and row:
                still.append(row)
        # Where it found no more than it wanted to, there may be others in the place of those that are gone.
        if options.get("skip") or (limit and len(rows) == limit and len(still) < limit):
            return None
        return still[:limit] if limit else still

    async def ask(self, question: Callable[[Unit], Awaitable[T]]) -> T:
        """Any other question to the group's own unit."""
        return await question(self.unit)

    def take(self, member: "Member") -> None:
        """What a member did is the group's from now on."""
        changed = self.unit.absorb(member)
        for kind, id in changed - self._before.keys():
            if self.unit.is_new(kind, id):
                self._before[kind, id] = None
        self.changed |= changed

    async def concerns(self, kind: type[Document], id: str, query: Mapping[str, Any]) -> bool:
        """Whether what became of a changed document may be another answer to a query."""
        if (kind, id) not in self._before:
            return True
        now = await self.unit.get(kind, id)
        rows = (self._before[kind, id], now.to_mongo() if now else None)
        return any(row is not None and meets(row, query) is not False for row in rows)


class Member(Unit):
    """The unit of one command among others."""

    def __init__(self, group: Group, *, source: str) -> None:
        super().__init__(group.unit.db, None, source=source)
        self.now = group.unit.now  # one moment for all, so that they ask the same
        self.group = group
        self._asked: list[tuple[type[Document], Mapping[str, Any]]] = []

    @property
    def db(self) -> NoReturn:
        raise Alone

    @property
    def session(self) -> NoReturn:
        raise Alone

    async def with_ids(self, wanted: Mapping[type[Document], Sequence[str]]) -> dict[type[Document], Rows]:
        return await self.group.with_ids(self, wanted)

    async def matching(self, kind: type[Document], query: Mapping[str, Any], **options: Any) -> Rows:
        self._note(kind, query)
        return await self.group.matching(self, kind, query, options)

    async def count(self, kind: type[Document], query: Mapping[str, Any]) -> int:
        self._note(kind, query)
        return await self.group.ask(lambda unit: unit.count(kind, query))

    async def aggregate(
        self, kind: type[Document], pipeline: Sequence[Mapping[str, Any]], *, hint: str | None = None
    ) -> Rows:
        self._note(kind, pipeline[0].get("$match", {}) if pipeline else {})
        return await self.group.ask(lambda unit: unit.aggregate(kind, pipeline, hint=hint))

    def _note(self, kind: type[Document], query: Mapping[str, Any]) -> None:
        self._asked.append((kind, query))
        if self.changes(kind):
            raise Alone

    async def outdated(self) -> bool:
        """Whether another member has changed what this one went by."""
        for kind, id in self.group.changed:
            if self.has_read(kind, id):
                return True
            for asked, query in self._asked:
                if asked is kind and await self.group.concerns(kind, id, query):
                    return True
        return False


@dataclass
class Command:
    """Work that waits, and whoever waits for it. It runs in the context in which it was given."""

    work: Work
    done: asyncio.Future[Any]
    context: Context = field(default_factory=copy_context)

    async def run_as(self, member: Member) -> tuple[Member, Any]:
        try:
            return member, await asyncio.create_task(_plainly(self.work(member)), context=self.context)
        finally:
            await member.group.end(member)


async def _plainly(work: Awaitable[Any]) -> Any:
    return await work


class Groups:
    """Runs commands in groups: one at once when nobody else is there, and otherwise with those that came meanwhile.

    `transaction` runs something in a unit and commits it, once; it raises `InTheWay` when that left nothing because of
    another transaction. `alone` does it until nobody is in the way.
    """

    def __init__(
        self,
        transaction: Callable[[Work], Awaitable[Any]],
        alone: Callable[[Work], Awaitable[Any]],
        *,
        source: str,
    ) -> None:
        self._transaction, self._alone, self._source = transaction, alone, source
        self._waiting: deque[Command] = deque()
        self._task: asyncio.Task[None] | None = None
        self._last = 0

    async def run(self, work: Callable[[Unit], Awaitable[T]]) -> T:
        """Run a command's work and commit it. Raises what `work` raises, and what `alone` does."""
        command = Command(work, asyncio.get_running_loop().create_future())
        self._waiting.append(command)
        self._next()
        try:
            result: T = await command.done
        except Alone:
            result = await self._alone(work)
        return result

    def _next(self) -> None:
        if self._waiting and not self._task:
            self._task = asyncio.create_task(self._next_group(), context=Context())
            self._task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._task = None
        self._next()

    async def _next_group(self) -> None:
        if self._last >= COMPANY:
            await asyncio.sleep(DELAY_SECONDS)
        commands = [self._waiting.popleft() for _ in range(min(len(self._waiting), MEMBERS_AT_MOST))]
        self._last = len(commands)
        await self._go(commands)

    async def _go(self, commands: Sequence[Command]) -> None:
        outcomes: list[Any] = []
        for _ in range(GROUP_TRIES):
            try:
                outcomes = await self._once(commands)
                METRICS.group.labels(self._source).observe(len(commands))
                break
            except InTheWay as met:
                METRICS.unit_retries.labels(self._source).inc()
                outcomes = [Alone() for _ in commands]
                if not passes(met.reason):
                    break
            except Exception as error:  # noqa: BLE001 - each of those who wait is told
                outcomes = [error for _ in commands]
                break
            except BaseException:
                for command in commands:
                    command.done.cancel()
                raise
        for command, outcome in zip(commands, outcomes, strict=True):
            if command.done.done():
                continue
            if isinstance(outcome, BaseException):
                command.done.set_exception(outcome)
            else:
                command.done.set_result(outcome)

    async def _once(self, commands: Sequence[Command]) -> list[Any]:
        outcomes: list[Any] = []

        async def together(unit: Unit) -> None:
            nonlocal outcomes
            try:
                outcomes = await self._together(Group(unit), commands)
                await unit.flush()
            except Exception as error:  # whose fault it is shows when each goes alone
                raise InTheWay(error) from error

        await self._transaction(together)
        return outcomes

    async def _together(self, group: Group, commands: Sequence[Command]) -> list[Any]:
        """What came of each: its result, or its error."""
        members = [Member(group, source=self._source) for _ in commands]
        group.begin(*members)
        running = (command.run_as(member) for command, member in zip(commands, members, strict=True))
        outcomes = await asyncio.gather(*running, return_exceptions=True)
        again = []
        for n, outcome in enumerate(outcomes):
            if _through(outcome):
                if await outcome[0].outdated():
                    again.append(n)
                else:
                    outcomes[n] = _left(group, outcome)
        for n in again:
            group.begin(member := Member(group, source=self._source))
            (outcome,) = await asyncio.gather(commands[n].run_as(member), return_exceptions=True)
            outcomes[n] = _left(group, outcome) if _through(outcome) else outcome
        return outcomes


def _through(outcome: object) -> TypeGuard[tuple[Member, Any]]:
    """Whether a member came to its end; one that was refused did not. Raises what is the whole group's."""
    if isinstance(outcome, Stale | PyMongoError) or (
        isinstance(outcome, BaseException) and not isinstance(outcome, Exception)
    ):
        raise outcome
    return not isinstance(outcome, Exception)


def _left(group: Group, outcome: tuple[Member, Any]) -> Any:
    """A member's result, and to the group what it did."""
    member, result = outcome
    group.take(member)
    return result


def _varying(query: Mapping[str, Any]) -> str | None:
    """The first field of a query whose value is a text to be met: queries alike but for it can be asked as one."""
    return next(
        (name for name, value in query.items() if isinstance(value, str) and name[0] != "$" and "." not in name), None
    )


def meets(row: Mapping[str, Any], query: Mapping[str, Any]) -> bool | None:
    """Whether MongoDB finds a row by a query; None where that is not known here."""
    known = True
    for name, wanted in query.items():
        met = None if name[0] == "$" or "." in name else _meets(row.get(name), wanted)
        if met is False:
            return False
        known = known and met is not None
    return True if known else None


_COMPARED: dict[str, Callable[[Any, Any], bool]] = {"$gt": gt, "$gte": ge, "$lt": lt, "$lte": le}


def _meets(found: object, wanted: object) -> bool | None:
    if isinstance(wanted, re.Pattern | Regex):
        return None
    if not isinstance(wanted, Mapping):
        return _is(found, wanted)
    known = True
    for operator, operand in wanted.items():
        met: bool | None = None
        if operator == "$in" and not any(isinstance(each, re.Pattern | Regex) for each in operand):
            met = any(_is(found, each) for each in operand)
        elif operator == "$ne":
            met = not _is(found, operand)
        elif operator in _COMPARED and _ordered(operand) and not isinstance(found, list | tuple):
            met = _comparable(found, operand) and _COMPARED[operator](found, operand)
        if met is False:
            return False
        known = known and met is not None
    return True if known else None


def _is(found: object, value: object) -> bool:
    """Whether a field has this value, or a list that holds it, as MongoDB compares."""
    return _same(found, value) or (isinstance(found, list | tuple) and any(_same(each, value) for each in found))


def _same(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _ordered(value: object) -> bool:
    return isinstance(value, str | int | float | datetime) and not isinstance(value, bool)


def _comparable(one: object, other: object) -> bool:
    """MongoDB orders values among their like only, and takes all numbers for alike."""
    return type(one) is type(other) or all(
        isinstance(each, int | float) and not isinstance(each, bool) for each in (one, other)
    )
