"""What the workers' registry says. A worker is an id, never a person's data; a hardship tier is a number."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from shared.contracts import Event
from shared.contracts.terms import Cell, Code, District, Fen, Instant, Term, Trade

Tier = Annotated[
    int,
    Field(ge=0, le=3, description="Employment difficulty: 0 none, 3 the greatest. Its causes stay in the registry."),
]


class Span(Term):
    """Half-open minutes from the midnight that a local day begins with; an `end` above 1440 is on the day after."""

    start: Annotated[int, Field(ge=0, lt=1440)]
    end: Annotated[int, Field(gt=0, le=2880)]


class WeekdaySpan(Span):
    """A span of each Monday (1) to Sunday (7)."""

    weekday: Annotated[int, Field(ge=1, le=7)]


class DateSpans(Term):
    """The spans of one date, in place of its weekday's; none: that day not at all."""

    date: Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    spans: tuple[Span, ...] = ()


class Calendar(Term):
    """When a worker may be offered work: the whole of a shift lies within. One that says nothing means always."""

    weekly: tuple[WeekdaySpan, ...] = ()
    dates: tuple[DateSpans, ...] = ()


class WorkerProfile(Term):
    """What matching needs to know of a worker, and no more.

    `trades_wanted` none: all. `only_with_meals`, `only_with_lodging`, `no_night`: gigs without, or at night, are not
    offered.

    `revision` counts the profile's changes: of two, whichever topic they came by, the greater is the newer.
    """

    skills: tuple[Code, ...] = ()
    certificates: tuple[Code, ...] = ()
    floor_fen_per_hour: Fen = 0
    reach_m: Annotated[int, Field(ge=100, le=100_000)]
    tier: Tier = 0
    minor: bool = False
    accepts_automatically: bool = False
    trades_wanted: tuple[Trade, ...] = ()
    trades_unwanted: tuple[Trade, ...] = ()
    only_with_meals: bool = False
    only_with_lodging: bool = False
    no_night: bool = False
    calendar: Calendar = Calendar()
    revision: Annotated[int, Field(ge=0)] = 0


class WorkerRegistered(
    Event, topic="workers.worker", type="workers.worker-registered.v1", subject="worker_id", key="worker_id"
):
    """A person is registered under their real name, once in the region."""

    worker_id: str
    district: District
    profile: WorkerProfile


class WorkerChanged(
    Event, topic="workers.worker", type="workers.worker-changed.v1", subject="worker_id", key="worker_id"
):
    """A worker's profile is different; the whole of it is given."""

    worker_id: str
    district: District
    profile: WorkerProfile


class PairBlocked(Event, topic="workers.block", type="workers.pair-blocked.v1", subject="block_id", key="worker_id"):
    """A worker and an employer are not brought together, until `until` or for good. Which of them asked is not said.

    Said again under the same `block_id`, it replaces what was said. Both may have asked, each under an id of its own.
    """

    block_id: str
    worker_id: str
    employer_id: str
    until: Instant | None = None


class PairUnblocked(
    Event, topic="workers.block", type="workers.pair-unblocked.v1", subject="block_id", key="worker_id"
):
    """Whoever asked for this block took it back."""

    block_id: str
    worker_id: str
    employer_id: str


class WorkerCheckedIn(Event, topic="workers.presence", type="workers.worker-checked-in.v1", subject="presence_id"):
    """A worker waits for work in a district. One check-in that reaches several districts is said once in each.

    `presence_id` is `<checkin_id>:<district>`; the profile is given whole, so that a market needs no other topic.
    """

    presence_id: str
    checkin_id: str
    worker_id: str
    district: District
    cell: Cell
    station_id: str | None = None
    profile: WorkerProfile
    at: Instant
    until: Instant


class WorkerCheckedOut(Event, topic="workers.presence", type="workers.worker-checked-out.v1", subject="presence_id"):
    """A worker no longer waits in a district."""

    presence_id: str
    checkin_id: str
    worker_id: str
    district: District
    reason: Literal["worker", "expired", "replaced", "placed"]
