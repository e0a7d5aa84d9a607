"""A service made for tests of the foundation: it counts what it hears of each gig, and says so."""

import asyncio
from datetime import timedelta

from pydantic import BaseModel, ConfigDict

from shared.auth import Worker
from shared.contracts.posting import GigFilled, GigReopened
from shared.http import InUnit, Routes
from shared.problems import Conflict, Text
from shared.reactions import Reactions
from shared.service import Service
from shared.unit import Document, Timer, Unit


class Count(Document):
    collection = "counts"

    heard: int = 0
    rung: int = 0
    order: list[int] = []


class Big(Document):
    collection = "bigs"

    bytes_: bytes


class Mood:
    """How the ledger behaves now: ids at which it refuses, fails, or fails so many times before it works, and how long
    it takes for each event, in seconds."""

    refuses: set[str] = set()
    fails: set[str] = set()
    stumbles: dict[str, int] = {}
    takes: float = 0.0

    @classmethod
    def reset(cls) -> None:
        cls.refuses, cls.fails, cls.stumbles, cls.takes = set(), set(), {}, 0.0


react = Reactions()
routes = Routes("ledger")


@react.to(GigFilled, needs=lambda event: [(Count, event.gig_id)])
async def count(event: GigFilled, unit: Unit) -> None:
    await asyncio.sleep(Mood.takes)
    found = await unit.get(Count, event.gig_id) or Count(id=event.gig_id)
    found.heard += 1
    found.order.append(event.placed)
    unit.save(found)
    unit.publish(GigReopened(gig_id=event.gig_id, district=event.district, placed=found.heard))
    if event.gig_id in Mood.refuses:
        raise Conflict("refused-here", Text("Refused.", "拒绝。"))
    if event.gig_id in Mood.fails:
        raise RuntimeError("cannot count this")
    if Mood.stumbles.get(event.gig_id, 0):
        Mood.stumbles[event.gig_id] -= 1
        raise RuntimeError("not this time")
    if event.gig_id == "huge":
        unit.save(Big(id="huge", bytes_=bytes(17 * 1024 * 1024)))


@react.at("bell")
async def ring(timer: Timer, unit: Unit) -> None:
    found = await unit.get(Count, timer.subject) or Count(id=timer.subject)
    found.rung += 1
    unit.save(found)


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: str
    amount: int


class Total(BaseModel):
    id: str
    heard: int


@routes.post("/entries", status_code=201)
async def add(entry: Entry, worker: Worker, unit: InUnit) -> Total:
    found = await unit.get(Count, entry.id) or Count(id=entry.id)
    found.heard += entry.amount
    unit.save(found)
    unit.publish(GigFilled(gig_id=entry.id, district="430102", placed=found.heard))
    return Total(id=found.id, heard=found.heard)


@routes.get("/entries/{id}")
async def look(id: str, unit: InUnit) -> Total:
    found = await unit.get(Count, id) or Count(id=id)
    return Total(id=id, heard=found.heard)


@routes.post("/bells/{subject}", status_code=202)
async def set_bell(subject: str, seconds: float, unit: InUnit) -> None:
    unit.set_timer("bell", subject, unit.now + timedelta(seconds=seconds))


@routes.delete("/bells/{subject}", status_code=204)
async def stop_bell(subject: str, unit: InUnit) -> None:
    unit.cancel_timer("bell", subject)


service = Service("ledger", reactions=react, routes=routes, documents=[Count, Big])


def filled(gig_id: str, placed: int = 1, district: str = "430102") -> GigFilled:
    return GigFilled(gig_id=gig_id, district=district, placed=placed)
