"""The work as a service of this project does it: `python -m shared.run bench.reactions.ours`."""

from datetime import datetime

from fastapi import APIRouter

from bench.reactions.events import Counted, Summed
from shared.reactions import Reactions
from shared.service import Service
from shared.unit import Document, Unit

react = Reactions()


class Counter(Document):
    collection = "counters"

    total: int
    at: datetime
    text: str


@react.to(Counted, needs=lambda event: [(Counter, event.counter_id)])
async def add(event: Counted, unit: Unit) -> None:
    counter = await unit.get(Counter, event.counter_id)
    if counter is None:
        counter = Counter(id=event.counter_id, total=0, at=event.at, text=event.text)
    counter.total += event.by
    counter.at = event.at
    unit.save(counter)
    unit.publish(Summed(counter_id=counter.id, total=counter.total, at=event.at, text=event.text))


service = Service("bench", reactions=react, routes=APIRouter(), documents=[Counter])
