"""A load that a market can just bear, and what becomes of it: a closed loop with so many seats in hand."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from bench.burst import listening
from bench.placements.behind import Behind
from bench.placements.doors import Door
from deploy.local.stack import Stack
from shared.contracts.matching import OfferMade, PlacementMade
from shared.contracts.rights import AgreementMade

TURN_SECONDS = 0.05
LOOK_SECONDS = 0.5
MOST_BEHIND = 5_000
"""Nobody new comes while a service is so many events behind."""

SETTLED_SECONDS = 300.0
HEARD_AT_ONCE = 2_000

log = structlog.get_logger()


@dataclass
class Load:
    """Brings seats and people, and hears what is said of them.

    A seat is in hand from when it is brought until its placement is in the log and has its agreement. With `rate`
    (seats a second) it is an open loop: so many come, however long what came before takes.
    """

    stack: Stack
    door: Door
    in_hand: int
    rate: float | None = None
    brought: int = 0
    placed: dict[str, int] = field(default_factory=dict)
    """When each placement was first in the log, by the broker's clock, in ms: a relay may say an event twice."""
    agreed: set[str] = field(default_factory=set)
    behind: dict[str, int] = field(default_factory=dict)
    held_back: Counter[str] = field(default_factory=Counter)
    """How often nobody came since a service was behind."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The load, until the block ends. What was brought until then may still be under way."""
        behind = Behind(self.stack.kafka, self.stack.mongo_url)
        await behind.start()
        topics = [OfferMade.topic, PlacementMade.topic, AgreementMade.topic]
        before = await behind.said()
        try:
            async with listening(self.stack.kafka, *topics) as listener, asyncio.TaskGroup() as group:
                hearing, looking = group.create_task(self._hear(listener)), group.create_task(self._look(behind))
                bringing = group.create_task(self._bring())
                try:
                    yield
                    bringing.cancel()
                    self.settled = await self._until_settled(behind)
                finally:
                    for task in (bringing, hearing, looking):
                        task.cancel()
            self.events = await behind.said() - before
            self.dead = await behind.dead()
        finally:
            await behind.close()

    settled: float = 0.0
    """Seconds until everything that was brought had been done, after nobody came any more."""
    events: int = 0
    """How many came into the log."""
    dead: int = 0

    @property
    def waiting(self) -> int:
        return self.brought - min(len(self.placed), len(self.agreed))

    def placed_between(self, begin: float, end: float) -> int:
        """How many placements came into the log between two moments (seconds since 1970)."""
        return sum(begin <= at / 1_000 < end for at in self.placed.values())

    async def _bring(self) -> None:
        due, last = 0.0, time.monotonic()
        while True:
            now = time.monotonic()
            if self.rate is None:
                due = self.in_hand - self.waiting
                if late := [name for name, many in self.behind.items() if many > MOST_BEHIND]:
                    self.held_back.update(late)
                    due = 0
            else:
                due += self.rate * (now - last)
            last = now
            if due >= 1:
                brought = await self.door.bring(int(due))
                self.brought += brought
                due -= brought
            await asyncio.sleep(TURN_SECONDS)

    async def _hear(self, listener: object) -> None:
        while True:
            heard = await listener.getmany(timeout_ms=100, max_records=HEARD_AT_ONCE)  # type: ignore[attr-defined]
            for records in heard.values():
                for record in records:
                    headers = dict(record.headers)
                    subject = headers["ce_subject"].decode()
                    match headers["ce_type"].decode():
                        case PlacementMade.type:
                            self.placed.setdefault(subject, record.timestamp)
                        case AgreementMade.type:
                            self.agreed.add(subject)
                        case OfferMade.type:
                            await self._offered(record)

    async def _offered(self, record: object) -> None:
        offer = OfferMade.model_validate_json(record.value)  # type: ignore[attr-defined]
        await self.door.offered(offer.worker_id, offer.offer_id)

    async def _look(self, behind: Behind) -> None:
        while True:
            self.behind = await behind.now()
            await asyncio.sleep(LOOK_SECONDS)

    async def _until_settled(self, behind: Behind) -> float:
        began = time.monotonic()
        while time.monotonic() - began < SETTLED_SECONDS:
            if not any((await behind.now()).values()):
                break
            await asyncio.sleep(0.2)
        return time.monotonic() - began
