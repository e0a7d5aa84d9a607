"""Live streams: who listens in this process, and how they hear of a message that was saved in another.

    commit ─► nudge ─► listeners here
                  └──► Valkey ─► every other process ─► listeners there

A hint holds ids and nothing else: whoever gets one reads the database, which knows what is to be told and in which
order. So a hint may be lost, and Valkey may be away or flushed: every few seconds each process asks the database, with
one query for all who listen here, who has something new. A stream holds one number and no queue: a slow reader costs
the others nothing, and reads on from its number.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import redis.asyncio as valkey
import structlog
from redis.exceptions import RedisError

from services.notify.store import Message, last_of, messages_after
from shared import clock
from shared.service import Runtime
from shared.store import Store
from shared.unit import Unit

log = structlog.get_logger()

LOOK_SECONDS = 3.0
"""How often each process asks the database who has something new, whatever Valkey says."""

PAGE = 100
HINT_SECONDS = 2.0
AGAIN_SECONDS = 1.0


@dataclass(eq=False)
class Listener:
    """One stream of one person, who has read up to number `after`."""

    after: int
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class Live:
    """The streams of one process, which calls itself `name`."""

    def __init__(self) -> None:
        self.name = clock.new_id()
        self._listeners: defaultdict[str, set[Listener]] = defaultdict(set)
        self._to_tell: set[str] = set()
        self._something: asyncio.Event = asyncio.Event()
        self._closed = False

    def count(self, person_id: str) -> int:
        """How many streams this person has open here."""
        return len(self._listeners.get(person_id, ()))

    @contextmanager
    def listening(self, person_id: str, after: int) -> Iterator[Listener]:
        listener = Listener(after)
        self._listeners[person_id].add(listener)
        try:
            yield listener
        finally:
            self._listeners[person_id].discard(listener)
            if not self._listeners[person_id]:
                del self._listeners[person_id]

    def committed(self, people: Set[str]) -> None:
        """These people have new messages in the database: wake their streams here, and tell the other processes."""
        self.wake(people)
        self._to_tell |= people
        self._something.set()

    def wake(self, people: Set[str]) -> None:
        for person in people & self._listeners.keys():
            for listener in self._listeners[person]:
                listener.woken.set()

    async def hints(self) -> Set[str]:
        """Wait for people to tell the other processes of; all who came together."""
        await self._something.wait()
        self._something.clear()
        people, self._to_tell = self._to_tell, set()
        return people

    def close(self) -> None:
        """End every stream here: their clients come back to another process, from where they were."""
        self._closed = True
        self.wake(self._listeners.keys())

    async def look(self, unit: Unit) -> None:
        """Wake whoever has something that their stream has not read."""
        last = await last_of(unit, list(self._listeners))
        for person, number in last.items():
            for listener in self._listeners.get(person, ()):
                if listener.after < number:
                    listener.woken.set()

    async def follow(
        self, store: Store, person_id: str, after: int, idle_seconds: float
    ) -> AsyncGenerator[Sequence[Message], None]:
        """A person's messages behind number `after`, page by page as they come; an empty page when it is quiet.

        Ends when this process stops."""
        with self.listening(person_id, after) as listener:
            while not self._closed:
                listener.woken.clear()
                page = await messages_after(store.reading(), person_id, listener.after, PAGE)
                if page:
                    listener.after = page[-1].sequence
                    yield page
                if len(page) == PAGE:
                    continue
                try:
                    async with asyncio.timeout(idle_seconds):
                        await listener.woken.wait()
                except TimeoutError:
                    yield ()


_lives: WeakKeyDictionary[Runtime, Live] = WeakKeyDictionary()


def live_of(runtime: Runtime) -> Live:
    """The streams of this service in this process, for its routes and its loops."""
    if runtime not in _lives:
        live = _lives[runtime] = Live()
        runtime.nudged = live.committed
        runtime.at_stop.append(live.close)
    return _lives[runtime]


async def look_forever(runtime: Runtime) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        await live_of(runtime).look(runtime.store.reading())


def _channel(runtime: Runtime) -> str:
    return f"{runtime.store.db.name}:live"


async def tell_forever(runtime: Runtime) -> None:
    """Tell the other processes of what was saved here. What cannot be told now is let go: they look for themselves."""
    live, away = live_of(runtime), False
    async with _client(runtime) as client:
        while True:
            people = await live.hints()
            try:
                await client.publish(_channel(runtime), "\n".join((live.name, *people)))
                away = False
            except (RedisError, OSError) as error:
                if not away:
                    log.warning("valkey does not answer, streams look into the database", error=repr(error)[:200])
                away = True


async def hear_forever(runtime: Runtime) -> None:
    """Wake streams here for what was saved elsewhere: one subscription for the whole process."""
    live = live_of(runtime)
    async with _client(runtime) as client:
        while True:
            try:
                async with client.pubsub() as subscription:
                    await subscription.subscribe(_channel(runtime))
                    while True:
                        hint = await subscription.get_message(ignore_subscribe_messages=True, timeout=HINT_SECONDS)
                        if hint:
                            name, *people = hint["data"].split("\n")
                            if name != live.name:
                                live.wake(set(people))
            except (RedisError, OSError):
                await asyncio.sleep(AGAIN_SECONDS)


def _client(runtime: Runtime) -> valkey.Redis:
    return valkey.Redis.from_url(
        runtime.settings.valkey_url,
        decode_responses=True,
        socket_connect_timeout=HINT_SECONDS,
        socket_timeout=HINT_SECONDS,
        health_check_interval=10,
    )
