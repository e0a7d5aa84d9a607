"""What goes in and what comes out: as large as the market's own events, and in no catalogue but the bench's."""

from shared.contracts import Event
from shared.contracts.terms import Instant

IN, OUT = "bench.in", "bench.out"


class Counted(Event, topic=IN, type="bench.counted.v1", subject="counter_id", key="counter_id"):
    """Something happened to one of many things."""

    counter_id: str
    by: int
    at: Instant
    text: str


class Summed(Event, topic=OUT, type="bench.summed.v1", subject="counter_id", key="counter_id"):
    """How often that makes."""

    counter_id: str
    total: int
    at: Instant
    text: str
