"""What the market remembers, and every question it asks of that.

No invariant rests on who runs: a seat is one document, so a gig cannot be overfilled; a worker's commitments are one
document, so two overlapping ones cannot both be written; an index allows a worker one open offer.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from pymongo import ASCENDING, DESCENDING, IndexModel

from services.matching.domain import (
    CAPS_LOOK_BACK,
    Commitment,
    CrewState,
    Ended,
    ExcuseState,
    ExpiryReason,
    PlacementStatus,
    lately,
    local_day,
    quantile,
)
from services.matching.rules import SHIPPED, Rules
from shared.contracts.matching import Reason
from shared.contracts.posting import GigTerms
from shared.contracts.terms import Period
from shared.contracts.workers import WorkerProfile
from shared.rulebook import RuleBook, RuleVersion
from shared.settings import Settings
from shared.unit import Document, Unit

FIGURES_OF = 200
"""The board's times are those of so many last offers."""

ANY = {"$gt": ""}
"""Every value of a field, said so that an index which begins with the field can be used."""


class Gig(Document):
    """A gig as its employer says it. `edition` counts changes of its terms other than the headcount.

    Whoever makes offers of it, frees a seat of it or changes it also saves it, so that no two of those pass each other.
    `freed` are seats taken away, by number, with the placement that had each last. `backfill_until`: somebody did not
    come, and until then their seat is offered again.
    """

    collection = "gigs"
    indexes = (
        IndexModel([("district", ASCENDING)]),
        IndexModel([("district", ASCENDING), ("crew", ASCENDING)], partialFilterExpression={"crew": "gathering"}),
    )

    district: str
    terms: GigTerms
    crew: CrewState | None = None
    edition: int = 1
    closed: str | None = None
    freed: dict[str, str] = {}
    backfill_until: datetime | None = None
    at: datetime
    trace: dict[str, str] = {}

    def takes(self, now: datetime) -> bool:
        """True while it may be offered and accepted, also when the news of its end is late."""
        return self.open_until(now) is not None

    def open_until(self, now: datetime) -> datetime | None:
        """Until when a seat that is free now may be offered; None when it may not.

        Once its shift has begun only the seats of those who did not come may be, also when its validity ended in time:
        the post was answered. What the employer closed, or lost, stays closed, and so does a crew that did not come
        together.
        """
        if self.crew == "failed":
            return None
        if now < self.ends:
            return self.ends if self.closed is None else None
        again = self.closed in (None, "expired") and self.backfill_until is not None and now < self.backfill_until
        return self.backfill_until if again else None

    @property
    def ends(self) -> datetime:
        return min(self.terms.valid_until, self.terms.period.start)


class Seat(Document):
    """One seat of a gig: open, or taken by a placement. Its id is `<gig_id>:<number>`.

    `after` is the placement that had it last: its end is in the log before the next one's beginning.
    """

    collection = "seats"
    indexes = (
        IndexModel([("gig_id", ASCENDING), ("open", ASCENDING)]),
        IndexModel([("district", ASCENDING), ("until", ASCENDING)], partialFilterExpression={"open": True}),
    )

    gig_id: str
    number: int
    district: str
    until: datetime
    open: bool = True
    placement_id: str | None = None
    after: str | None = None


class Waiting(Document):
    """A worker who waits in a district, under the presence id of the check-in.

    `days` are those on which they waited for nothing before it (domain.days_for_nothing).
    """

    collection = "waiting"
    indexes = (
        IndexModel([("district", ASCENDING), ("at", ASCENDING), ("until", ASCENDING)]),
        IndexModel([("worker_id", ASCENDING)]),
    )

    checkin_id: str
    worker_id: str
    district: str
    cell: str
    profile: WorkerProfile
    days: int = 0
    at: datetime
    until: datetime
    trace: dict[str, str] = {}


class Profile(Document):
    """The newest profile heard of a worker, and the local days on which they lately checked in.

    Each event that brings one saves it, so that none overtakes a newer one.
    """

    collection = "profiles"

    profile: WorkerProfile
    days: list[int] = []


class Block(Document):
    """A worker and an employer who are not brought together; who of them asked is not known here."""

    collection = "blocks"
    indexes = (IndexModel([("employer_id", ASCENDING), ("worker_id", ASCENDING)]),)

    worker_id: str
    employer_id: str
    until: datetime | None


class Commitments(Document):
    """What a worker has promised: periods that do not overlap, and the one offer in hand.

    `periods` are those ahead and those of the last days, whose hours count for the caps of their week.

    `released` were promised and are not any more, until they are over. `offered_checkin` is the last check-in that led
    to an offer, `placed_at` the time of the last placement: it ends the check-ins before it, in every district, without
    waiting for the registry to say so.

    `turns` are the local days of placements lately made, but for those that their employer called off; `declined` those
    on which the worker refused what they were offered, or let it pass.
    """

    collection = "commitments"

    periods: list[Commitment] = []
    released: list[Commitment] = []
    until: datetime | None = None
    offer_id: str | None = None
    offered_checkin: str | None = None
    placed_at: datetime | None = None
    turns: dict[str, int] = {}
    declined: list[int] = []

    def add(self, period: Period, placement_id: str, employer_id: str, now: datetime) -> None:
        """Promise a period. What is over and counts for no cap any more is forgotten."""
        promised = Commitment(start=period.start, end=period.end, placement_id=placement_id, employer_id=employer_id)
        self.released = [kept for kept in self.released if kept.end > now]
        self._keep([kept for kept in self.periods if kept.end > now - CAPS_LOOK_BACK] + [promised])

    def drop(self, placement_id: str) -> None:
        self.released += [period for period in self.periods if period.placement_id == placement_id]
        self._keep([kept for kept in self.periods if kept.placement_id != placement_id])

    def had_turn(self, placement_id: str, now: datetime) -> None:
        """They are placed: from here on their days are counted anew."""
        today = local_day(now, zone())
        kept = lately(self.turns.values(), today)
        self.turns = {id: day for id, day in self.turns.items() if day in kept} | {placement_id: today}

    def refused(self, offered_at: datetime) -> None:
        """They were offered something that day, and did not take it."""
        self.declined = lately(self.declined, local_day(offered_at, zone()))

    def _keep(self, periods: list[Commitment]) -> None:
        self.periods = sorted(periods, key=lambda period: period.start)
        self.until = max((period.end for period in periods), default=None)


class Offer(Document):
    """A gig offered to a worker. `open` until it has `ended`; `refused`: the pair is not offered again.

    `first` of its check-in; `delay_ms` from the later of post and check-in to the offer; `seed` drew the ties of its
    `window`. `present_until` is the end of the worker's presence, `profile_revision` the profile's that it was made by.
    """

    collection = "offers"
    indexes = (
        IndexModel("worker_id", unique=True, partialFilterExpression={"open": True}, name="one_open_a_worker"),
        IndexModel([("worker_id", ASCENDING), ("open", DESCENDING), ("_id", DESCENDING)]),
        IndexModel([("district", ASCENDING), ("gig_id", ASCENDING)], partialFilterExpression={"open": True}),
        IndexModel([("gig_id", ASCENDING), ("worker_id", ASCENDING)], partialFilterExpression={"refused": True}),
        IndexModel([("district", ASCENDING), ("made_at", DESCENDING)], partialFilterExpression={"first": True}),
    )

    gig_id: str
    edition: int
    worker_id: str
    employer_id: str
    district: str
    presence_id: str
    profile_revision: int = 0
    distance_m: float = 0
    terms: GigTerms
    reasons: list[Reason]
    weights: str
    seed: int
    window: str | None = None
    first: bool
    delay_ms: int
    checked_in_at: datetime
    present_until: datetime
    made_at: datetime
    expires_at: datetime
    arrive_by: datetime | None = None
    open: bool = True
    ended: Ended | None = None
    reason: ExpiryReason | None = None
    refused: bool = False
    placement_id: str | None = None
    trace: dict[str, str] = {}


class Placement(Document):
    """A worker in a seat, under the terms of the offer that was accepted.

    `after` are placements whose ends made it possible: the seat's last, and what the worker had at these hours.
    `arrive_by` of a substitute: the shift has begun. `cancelled_for` is the market's own reason. `late` was its
    cancellation; `compensation_fen` is what the employer owes for that, unless its excuse is accepted, which is decided
    by `excuse_until`. `attend_by` where it was made long ahead: by then its worker says that they will come
    (`attending_at`), asked by `reminders`, of which those to come are kept, or it ends.
    """

    collection = "placements"
    indexes = (
        IndexModel([("worker_id", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("employer_id", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("gig_id", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("gig_id", ASCENDING), ("status", ASCENDING)], partialFilterExpression={"status": "held"}),
        IndexModel([("district", ASCENDING), ("at", ASCENDING)], partialFilterExpression={"status": "placed"}),
        IndexModel(
            [("excuse_state", ASCENDING), ("_id", ASCENDING)], partialFilterExpression={"excuse_state": "waiting"}
        ),
    )

    offer_id: str
    gig_id: str
    seat: int
    worker_id: str
    employer_id: str
    district: str
    terms: GigTerms
    status: PlacementStatus
    checked_in_at: datetime
    at: datetime
    confirm_by: datetime | None = None
    cancelled_by: str | None = None
    cancelled_at: datetime | None = None
    cancelled_for: str | None = None
    after: list[str] = []
    arrive_by: datetime | None = None
    late: bool = False
    compensation_fen: int = 0
    excuse: str | None = None
    excuse_state: ExcuseState | None = None
    excuse_until: datetime | None = None
    attend_from: datetime | None = None
    attend_by: datetime | None = None
    attending_at: datetime | None = None
    reminders: list[datetime] = []
    reminded: int = 0

    @property
    def next_asking(self) -> datetime | None:
        """When its worker is reminded next, or loses the seat; None when nothing is asked of them."""
        waits = self.status == "placed" and self.attend_by and self.attending_at is None
        return min([*self.reminders, self.attend_by]) if waits and self.attend_by else None

    @property
    def begins(self) -> datetime:
        """When its worker should be there."""
        return self.arrive_by or self.terms.period.start

    @property
    def stands(self) -> bool:
        return self.status in ("placed", "awaiting-confirmation", "held")


class Window(Document):
    """What one window of a district went by: the engine's inputs (record.py), its rules and its seed, until `gone_at`.

    `codes` and `tags` are what the bits of the inputs stand for: as `skill forklift` and `certificate health` what gigs
    ask for, as `night` and `trade 4-02-07-02` what some people do not take.
    """

    collection = "windows"
    indexes = (
        IndexModel([("gig_ids", ASCENDING), ("at", DESCENDING)]),
        IndexModel("gone_at", expireAfterSeconds=0),
    )

    district: str
    at: datetime
    seed: int
    rules: Rules
    gig_ids: list[str]
    codes: list[str]
    tags: list[str] = []
    inputs: bytes
    gone_at: datetime


DOCUMENTS = (Gig, Seat, Waiting, Profile, Block, Commitments, Offer, Placement, Window, RuleVersion)


async def open_offers_of(unit: Unit, worker_id: str) -> list[Offer]:
    """The offer that a worker has in hand, if there is one."""
    return await unit.find(Offer, {"worker_id": worker_id, "open": True})


async def standing_of(unit: Unit, person_id: str) -> list[Placement]:
    """The placements of a worker or an employer that stand."""
    whose = {"$or": [{"worker_id": person_id}, {"employer_id": person_id}]}
    return [placement for placement in await unit.find(Placement, whose) if placement.stands]


def seat_id(gig_id: str, number: int) -> str:
    return f"{gig_id}:{number}"


RULES = RuleBook(Rules, SHIPPED)


@cache
def zone() -> ZoneInfo:
    """The zone whose days and weeks count: KUAIZHAO_ZONE."""
    return ZoneInfo(Settings().zone)


# --- gigs and seats --------------------------------------------------------------------------------------------------


async def seats_of(unit: Unit, gig_id: str) -> list[Seat]:
    return await unit.find(Seat, {"gig_id": gig_id})


async def seat_count(unit: Unit, gig_id: str) -> int:
    return await unit.count(Seat, {"gig_id": gig_id})


async def seats_open(unit: Unit, gig_ids: Collection[str]) -> dict[str, int]:
    """How many open seats these gigs have that may be taken now."""
    query = {"gig_id": {"$in": list(gig_ids)}, "open": True, "until": {"$gt": unit.now}}
    return await _count_by(unit, Seat, query, "gig_id")


async def seats_open_in(unit: Unit, district: str) -> dict[str, int]:
    """How many open seats each gig of a district has that may be offered now."""
    return await _count_by(unit, Seat, {"district": district, "until": {"$gt": unit.now}, "open": True}, "gig_id")


async def free_seats(unit: Unit, gig_id: str, *, limit: int) -> list[Seat]:
    """Some open seats of a gig that may be taken now."""
    return await unit.find(Seat, {"gig_id": gig_id, "open": True, "until": {"$gt": unit.now}}, limit=limit)


async def all_free_seats(unit: Unit, gig_ids: Iterable[str]) -> list[Seat]:
    """All open seats of some gigs that may be taken now."""
    ids = sorted(gig_ids)
    return await unit.find(Seat, {"gig_id": {"$in": ids}, "open": True, "until": {"$gt": unit.now}}) if ids else []


async def gathering_in(unit: Unit, district: str) -> list[Gig]:
    """Gigs of a district whose crew is not decided on."""
    return await unit.find(Gig, {"district": district, "crew": "gathering"})


async def held_count(unit: Unit, gig_id: str) -> int:
    """How many hold a seat of a gig until its crew is whole."""
    return await unit.count(Placement, {"gig_id": gig_id, "status": "held"})


async def held(unit: Unit, gig_id: str, *, limit: int) -> list[Placement]:
    """Some of those who hold a seat."""
    return await unit.find(Placement, {"gig_id": gig_id, "status": "held"}, limit=limit)


async def gigs(unit: Unit, ids: Collection[str]) -> dict[str, Gig]:
    await unit.load(Gig, ids)
    return {id: gig for id in ids if (gig := await unit.get(Gig, id))}


# --- people ----------------------------------------------------------------------------------------------------------


async def waiting_in(unit: Unit, district: str, *, limit: int) -> list[dict[str, Any]]:
    """Raw rows of who waits in a district now, the longest waiting first: for a window, which reads thousands."""
    return await unit.aggregate(
        Waiting,
        [
            {"$match": {"district": district, "until": {"$gt": unit.now}}},
            {"$sort": {"at": ASCENDING}},
            {"$limit": limit},
            {"$project": {"worker_id": 1, "cell": 1, "profile": 1, "at": 1, "days": 1, "version": 1}},
        ],
    )


async def engaged(unit: Unit, worker_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """Raw commitments by worker; those who never had an offer have none."""
    rows = await unit.aggregate(
        Commitments,
        [
            {"$match": {"_id": {"$in": list(worker_ids)}}},
            {"$project": {"periods": 1, "offer_id": 1, "placed_at": 1}},
        ],
    )
    return {row["_id"]: row for row in rows}


async def presences_of(unit: Unit, worker_id: str) -> list[Waiting]:
    return await unit.find(Waiting, {"worker_id": worker_id})


async def present(unit: Unit, presence_ids: Collection[str]) -> dict[str, int]:
    """Which of these presences are not over, with the revision of the worker's profile there."""
    query = {"_id": {"$in": list(presence_ids)}, "until": {"$gt": unit.now}}
    rows = await unit.aggregate(Waiting, [{"$match": query}, {"$project": {"profile.revision": 1}}])
    return {row["_id"]: row["profile"]["revision"] for row in rows}


async def newest_profiles(unit: Unit, worker_ids: Collection[str]) -> dict[str, dict[str, Any]]:
    """Raw profiles by worker."""
    rows = await unit.aggregate(Profile, [{"$match": {"_id": {"$in": list(worker_ids)}}}, {"$project": {"profile": 1}}])
    return {row["_id"]: row["profile"] for row in rows}


async def blocked_pairs(unit: Unit, employer_ids: Iterable[str]) -> set[tuple[str, str]]:
    """The (employer, worker) pairs of these employers that are not brought together now."""
    in_force = [{"until": None}, {"until": {"$gt": unit.now}}]
    query = {"employer_id": {"$in": list(employer_ids)}, "$or": in_force}
    rows = await unit.aggregate(Block, [{"$match": query}, {"$project": {"employer_id": 1, "worker_id": 1}}])
    return {(row["employer_id"], row["worker_id"]) for row in rows}


async def is_blocked(unit: Unit, employer_id: str, worker_id: str) -> bool:
    found = await unit.find(Block, {"employer_id": employer_id, "worker_id": worker_id})
    return any(block.until is None or unit.now < block.until for block in found)


# --- offers ----------------------------------------------------------------------------------------------------------


class OpenOffer(NamedTuple):
    id: str
    gig_id: str
    edition: int
    worker_id: str
    presence_id: str
    profile_revision: int = 0
    distance_m: float = 0
    employer_id: str = ""


async def offers_open_in(unit: Unit, district: str) -> list[OpenOffer]:
    """The open offers of a district."""
    rows = await unit.aggregate(
        Offer,
        [
            {"$match": {"district": district, "open": True}},
            {"$project": dict.fromkeys(OpenOffer._fields, 1)},
        ],
    )
    names = OpenOffer._fields[1:]
    return [OpenOffer(row["_id"], **{name: row[name] for name in names if name in row}) for row in rows]


async def offers_open(unit: Unit, district: str, gig_ids: Collection[str]) -> dict[str, int]:
    """How many open offers these gigs of a district have."""
    query = {"district": district, "gig_id": {"$in": list(gig_ids)}, "open": True}
    return await _count_by(unit, Offer, query, "gig_id")


async def refused_pairs(unit: Unit, gig_ids: Collection[str]) -> set[tuple[str, str]]:
    """The (gig, worker) pairs that are not offered again."""
    rows = await unit.aggregate(
        Offer,
        [
            {"$match": {"gig_id": {"$in": list(gig_ids)}, "refused": True}},
            {"$project": {"gig_id": 1, "worker_id": 1}},
        ],
    )
    return {(row["gig_id"], row["worker_id"]) for row in rows}


async def offers_to(unit: Unit, worker_id: str, *, after: tuple[bool, str] | None, limit: int) -> list[Offer]:
    """A worker's offers, open ones first, then the newest first; `after` is the last one's (open, id)."""
    query: dict[str, Any] = {"worker_id": worker_id}
    if after:
        was_open, id = after
        rest: list[dict[str, Any]] = [{"open": was_open, "_id": {"$lt": id}}]
        query["$or"] = [*rest, {"open": False}] if was_open else rest
    return await unit.find(Offer, query, sort=[("open", DESCENDING), ("_id", DESCENDING)], limit=limit)


async def last_offer(unit: Unit, gig_id: str, worker_id: str) -> Offer | None:
    """The newest offer of a gig to a worker."""
    query = {"worker_id": worker_id, "gig_id": gig_id}
    found = await unit.find(Offer, query, sort=[("_id", DESCENDING)], limit=1)
    return found[0] if found else None


async def windows_of(unit: Unit, gig_id: str, *, limit: int) -> list[Window]:
    """The records of the last windows that a gig was in, the newest first."""
    return await unit.find(Window, {"gig_ids": gig_id}, sort=[("at", DESCENDING)], limit=limit)


# --- placements ------------------------------------------------------------------------------------------------------


async def placements_where(unit: Unit, field: str, value: str, *, after: str | None, limit: int) -> list[Placement]:
    """Placements of a worker, an employer or a gig, the newest first; `after` is the last one's id."""
    query = {field: value, **({"_id": {"$lt": after}} if after else {})}
    return await unit.find(Placement, query, sort=[("_id", DESCENDING)], limit=limit)


async def excuses_in(unit: Unit, districts: Sequence[str] | None, *, after: str | None, limit: int) -> list[Placement]:
    """Placements whose excuse waits for a clerk, the oldest first; `districts` may be prefixes, None for all."""
    query: dict[str, Any] = {"excuse_state": "waiting"}
    if districts is not None:
        query["district"] = {"$regex": f"^({'|'.join(map(re.escape, districts))})"} if districts else {"$in": []}
    if after:
        query["_id"] = {"$gt": after}
    return await unit.find(Placement, query, sort=[("_id", ASCENDING)], limit=limit)


# --- the whole market ------------------------------------------------------------------------------------------------


async def live_districts(unit: Unit) -> set[str]:
    """Districts in which a window may have something to do: an open seat, an open offer, a crew that gathers."""
    seats = await _count_by(unit, Seat, {"district": ANY, "open": True, "until": {"$gt": unit.now}}, "district")
    offers = await _count_by(unit, Offer, {"district": ANY, "open": True}, "district")
    crews = await _count_by(unit, Gig, {"district": ANY, "crew": "gathering"}, "district")
    return {*seats, *offers, *crews}


class Figures(NamedTuple):
    """A district at a moment. Delays are in ms, None without an offer yet; `delays` is how many they are of."""

    district: str
    waiting: int
    open_seats: int
    offers_open: int
    placements: int
    p50: int | None
    p95: int | None
    delays: int


async def board(unit: Unit, *, since: datetime) -> list[Figures]:
    """Every district that has had a gig or has somebody waiting. Counts those placements that stand, made `since`."""
    now = unit.now
    waiting = await _count_by(unit, Waiting, {"district": ANY, "until": {"$gt": now}}, "district")
    seats = await _count_by(unit, Seat, {"district": ANY, "open": True, "until": {"$gt": now}}, "district")
    offers = await _count_by(unit, Offer, {"district": ANY, "open": True, "expires_at": {"$gt": now}}, "district")
    placed = await _count_by(unit, Placement, {"district": ANY, "status": "placed", "at": {"$gte": since}}, "district")
    known = await unit.aggregate(Gig, [{"$sort": {"district": ASCENDING}}, {"$group": {"_id": "$district"}}])
    figures = []
    for district in sorted({*waiting, *(row["_id"] for row in known)}):
        waits, open_, offered, made = (found.get(district, 0) for found in (waiting, seats, offers, placed))
        delays = await _last_delays(unit, district)
        p50, p95 = quantile(delays, 0.5), quantile(delays, 0.95)
        figures.append(Figures(district, waits, open_, offered, made, p50, p95, len(delays)))
    return figures


async def _last_delays(unit: Unit, district: str) -> list[int]:
    rows = await unit.aggregate(
        Offer,
        [
            {"$match": {"district": district, "first": True}},
            {"$sort": {"made_at": DESCENDING}},
            {"$limit": FIGURES_OF},
            {"$project": {"delay_ms": 1}},
        ],
    )
    return sorted(row["delay_ms"] for row in rows)


async def _count_by(unit: Unit, kind: type[Document], query: Mapping[str, Any], field: str) -> dict[str, int]:
    rows = await unit.aggregate(kind, [{"$match": query}, {"$group": {"_id": f"${field}", "count": {"$sum": 1}}}])
    return {row["_id"]: row["count"] for row in rows}
