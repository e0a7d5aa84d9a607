"""Processes of several services, one log and one server of databases, in one thread and in a time of their own.

Nothing goes on by itself: each call to a server waits for its turn, and `World.step` gives one turn. So a process can
be frozen or die at any await, beside others that go on, and the same choices give the same history.
"""

import asyncio
import selectors
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast

from opentelemetry import trace
from pymongo.errors import PyMongoError

from shared import clock
from shared.contracts import CATALOGUE, Event
from shared.delivery import Delivery, Fenced, Letter
from shared.problems import Problem
from shared.reactions import Reactions
from shared.relay import Relay
from shared.store import Contended, DatabaseDown, Store
from shared.timers import Timers
from shared.unit import Document, OutboxRow, Unit
from tests.simulation.database import Client, Fate, Row, Server

BEGINNING = datetime(2026, 11, 23, 6, tzinfo=UTC)
STEP_SECONDS = 0.001
SWEEP_SECONDS = 13.0
"""After so long a dead process's leases are free and a sweeper has come by."""

_OWNER: ContextVar["Process"] = ContextVar("process")


class Stuck(AssertionError):
    """What should have come to rest has not."""


class KafkaAway(Exception):
    """A message was not acknowledged."""


class Said(NamedTuple):
    """An event in the log, read."""

    id: str
    type: str
    stream: str
    sequence: int
    event: Event


class Member(NamedTuple):
    """A service: what it remembers, and what it does."""

    name: str
    documents: Sequence[type[Document]]
    reactions: Reactions


class _NoWaiting(selectors.DefaultSelector):
    """Time passes when nothing else can."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise Stuck("every task waits for another")
        self.now += max(0.0, timeout)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clockwork = _NoWaiting()
        super().__init__(self.clockwork)

    def time(self) -> float:
        return self.clockwork.now


class Turn(NamedTuple):
    process: "Process"
    what: str
    fate: asyncio.Future[Fate]


class World:
    def __init__(self, members: Sequence[Member], *, replicas: int) -> None:
        self.server = Server()
        self.log: dict[str, list[Letter]] = defaultdict(list)
        self.said: list[Said] = []
        self.committed: set[str] = set()
        self.waiting: list[Turn] = []
        self.errors: list[BaseException] = []
        self.turned_back: list[Row] = []
        self._fences: dict[str, int] = defaultdict(int)
        self.freely = True
        self._ids = 0
        self._loop = _Loop()
        self._loop.set_task_factory(_owned)
        self._new_id, self._set_time = clock.new_id, clock.set_source
        clock.new_id = self._next_id
        clock.set_source(lambda: BEGINNING + timedelta(seconds=self._loop.time()))
        self.server.on_commit = self._on_commit
        self.processes = [Process(self, member) for member in members for _ in range(replicas)]
        for process in self.processes:
            self.run(process.store.prepare(process.member.documents))
        self.freely = False
        for process in self.processes:
            process.start()

    def close(self) -> None:
        for process in self.processes:
            process.die()
        self.pass_time(1)
        self._loop.close()
        clock.new_id = self._new_id
        clock.set_source(None)

    def _next_id(self) -> str:
        self._ids += 1
        return f"{self._ids:06}"

    def _on_commit(self, collection: str, row: Row) -> None:
        if collection.endswith("._outbox"):
            self.committed.add(row["_id"])
        if collection.endswith("._fences"):
            if row["next"] < self._fences[row["_id"]]:
                self.turned_back.append(row)
            self._fences[row["_id"]] = row["next"]

    # --- turns and time ------------------------------------------------------------------------------------------

    async def turn(self, process: "Process", what: str) -> Fate:
        if process.dead:
            raise asyncio.CancelledError
        if self.freely:
            return "done"
        turn = Turn(process, what, self._loop.create_future())
        self.waiting.append(turn)
        try:
            return await turn.fate
        finally:
            self.waiting.remove(turn)

    def step(self, which: int, fate: Fate = "done") -> str:
        """Give one of those that wait its turn, and let what follows go as far as it can."""
        turn = self.waiting[which % len(self.waiting)]
        turn.fate.set_result(fate)
        self.pass_time(STEP_SECONDS)
        return f"{turn.process.member.name}: {turn.what}: {fate}"

    def pass_time(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)

    def start(self, process: "Process", work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin something in a process."""

        async def begin() -> asyncio.Task[Any]:
            _OWNER.set(process)
            return asyncio.create_task(work)

        task: asyncio.Task[Any] = self.run(begin())
        task.add_done_callback(self._note)
        self.pass_time(STEP_SECONDS)
        return task

    def _note(self, task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error and not isinstance(error, Problem | PyMongoError | DatabaseDown | Contended | Fenced):
            self.errors.append(error)

    def calm(self, most: int = 20_000) -> None:
        """Let all that wait go on, in turn, until nobody does who is awake."""
        for _ in range(most):
            awake = (place for place, turn in enumerate(self.waiting) if not turn.process.asleep)
            place = next(awake, None)
            if place is None:
                return
            self.step(place)
        raise Stuck(f"{self.waiting[0].what} goes on for ever")

    # --- the log -------------------------------------------------------------------------------------------------

    def append(self, topic: str, key: bytes, headers: dict[str, str], body: bytes) -> None:
        at = len(self.log[topic])
        self.log[topic].append(Letter(topic, 0, at, key, headers, body))
        if not topic.endswith(".dead"):
            event = CATALOGUE[headers["ce_type"]].model_validate_json(body)
            self.said.append(Said(headers["ce_id"], event.type, event.stream, int(headers["ce_sequence"]), event))

    def of(self, kind: type[Event]) -> dict[str, Any]:
        """The events of a kind, each once, by id."""
        return {said.id: said.event for said in self.said if isinstance(said.event, kind)}

    def rows(self, service: str, collection: str) -> list[Row]:
        return list(self.server.rows[f"{service}.{collection}"].values())


class Process:
    """One process of a service. Dead, it does nothing more, and another takes its place."""

    def __init__(self, world: World, member: Member) -> None:
        self.world, self.member = world, member
        self.dead = self.asleep = False
        self.tasks: list[asyncio.Task[Any]] = []
        self.client = Client(world.server, lambda what: world.turn(self, what))
        self.tracer = trace.get_tracer("simulation")
        self.store = Store(cast("Any", self.client), member.name, source=member.name)
        self.delivery = Delivery(self.store, member.reactions, service=member.name, tracer=self.tracer)
        self.relay = Relay(self.store.db, self, service=member.name, tracer=self.tracer)
        self.store.after_commit = self.relay.committed
        self.timers = Timers(self.store.db, self.delivery)
        self._at: dict[str, int] = {}
        self._taking: set[str] = set()

    def start(self) -> None:
        async def begin() -> None:
            self.relay.start()

        self.world.start(self, begin())

    def die(self) -> None:
        """End as kill -9 does."""
        self.dead = True
        for task in self.tasks:
            task.cancel()
        self.client.cut()

    def replace(self) -> None:
        self.die()
        self.world.pass_time(STEP_SECONDS)
        successor = Process(self.world, self.member)
        self.world.processes[self.world.processes.index(self)] = successor
        successor.start()

    # --- what it does --------------------------------------------------------------------------------------------

    async def places(self, rows: Sequence[OutboxRow]) -> dict[str, str]:
        return {row.id: row.topic for row in rows}

    async def send(self, place: Hashable, rows: Sequence[OutboxRow]) -> int:
        fate = await self.world.turn(self, f"send {', '.join(row.headers.get('ce_type', '') for row in rows)}")
        if fate != "unsent":
            for row in rows:
                self.world.append(row.topic, row.key, row.headers, row.body)
        if fate != "done":
            raise KafkaAway
        return len(rows)

    async def transact(self, work: Callable[[Unit], Awaitable[Any]]) -> Any:
        return await self.store.transact(work)

    async def take(self, topic: str, most: int) -> None:
        """Handle the next letters of a topic, as the bus does for a partition it holds or believes to hold."""
        if topic in self._taking:
            return
        self._taking.add(topic)
        fence = f"{self.member.name}:{topic}:0"
        try:
            if topic not in self._at:
                self._at[topic] = await self.delivery.fence(fence)
            at = self._at[topic]
            letters = self.world.log[topic][at : at + most]
            if letters:
                self._at[topic] = await self.delivery.deliver(fence, at, letters)
        except Fenced as fenced:
            self._at[topic] = fenced.at
        finally:
            self._taking.discard(topic)


def _owned(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
    """A task that belongs to the process in which it was created, if to any."""
    task = asyncio.Task(work, loop=loop, **more)
    owner = _OWNER.get(None)
    if owner is not None:
        owner.tasks.append(task)
    return task
