"""Lists of open gigs: which of them, in what order, and page after page while the market goes on.

A list stands in the order that it had shortly before its first page. A gig whose pay or place changes afterwards keeps
its position (`Gig.ranks`), so that it neither comes twice nor is passed over; whether it still fits, and what is shown
of it, is as it is now.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.posting.domain import EARTH_M, metres
from services.posting.store import PAIRS, Gig, beginning, holding
from shared.contracts.terms import Hiring, Instant
from shared.districts import codes_of, of_today
from shared.search import pairs_within, words_of
from shared.unit import Unit

Order = Literal["newest", "nearest", "best-pay"]

SETTLED = timedelta(seconds=15)
"""A change made so long ago is committed, and seen by every page: a transaction lasts 10 s at most."""

FIRST_RING_M, FAR_M = 500.0, 50_000.0
"""The nearest are looked for within this, then four times as far, and so on; beyond `FAR_M` everywhere."""

SLACK_M = 1.0
"""MongoDB's distances and ours differ by rounding: it is asked for so much more, and ours decides."""

EPOCH, TICK = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)


class Filters(BaseModel):
    """Which open gigs, all of it together.

    `q`: words that stand in title, content, the employer's name or the name of the occupation. `district`: any of
    these by their six digits, or whole prefectures (4301) and provinces (43). `occupation`: a class of the national
    classification or all within a wider one (4-02). `min_fen_per_hour`: by the hour or by the day; never piece work.
    `from`, `to`: the whole shift lies in this span. `no_requirements`: neither skills nor certificates are asked for.
    """

    model_config = ConfigDict(extra="forbid")

    q: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)] | None = None
    district: Annotated[list[Annotated[str, Field(pattern=r"^[1-9][0-9]([0-9]{2}){0,2}$")]], Field(max_length=50)] = []
    occupation: Annotated[str, Field(pattern=r"^[0-9](-[0-9]{2}){0,3}$", examples=["4-02"])] | None = None
    min_fen_per_hour: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    from_: Annotated[Instant | None, Field(alias="from")] = None
    to: Instant | None = None
    meals: bool = False
    lodging: bool = False
    no_night_work: bool = False
    hiring: Hiring | None = None
    no_requirements: bool = False


class Around(NamedTuple):
    """A point, and how far from it a gig may be at the most (`math.inf`: any distance)."""

    lat: float
    lon: float
    within_m: float

    def metres(self, lat: float, lon: float) -> float:
        return metres((self.lat, self.lon), (lat, lon))


class Mark(NamedTuple):
    """Where a list goes on: after this gig, in the order as it was at `as_of`. The first page is after nothing."""

    as_of: datetime
    rank: float = -math.inf
    gig_id: str = ""


class Spot(NamedTuple):
    """A gig's position: the lower its rank the earlier, and of those at one rank the greater id."""

    rank: float
    gig_id: str


class Page(NamedTuple):
    gigs: list[Gig]
    next: Mark | None


def beginning_at(now: datetime) -> Mark:
    return Mark(now - SETTLED)


async def page(unit: Unit, filters: Filters, order: Order, around: Around | None, after: Mark, limit: int) -> Page:
    """Open gigs that fit, in order, after a mark. `nearest` needs a point."""
    query = _fitting(unit.now, filters, around)
    hint = PAIRS if any(len(word) > 1 for word in _words(filters)) else None
    if order == "nearest" and around:
        spots = await _nearest(unit, query, around, after, limit + 1, hint)
    elif order == "best-pay":
        spots = await _best_paid(unit, query, after, limit + 1, hint)
    else:
        spots = await _newest(unit, query, after, limit + 1, hint)
    shown = spots[:limit]
    await unit.load(Gig, [spot.gig_id for spot in shown])
    gigs = [gig for spot in shown if (gig := await unit.get(Gig, spot.gig_id)) and gig.status == "open"]
    return Page(gigs, Mark(after.as_of, *shown[-1]) if len(spots) > limit else None)


# --- which ---------------------------------------------------------------------------------------------------------


def _fitting(now: datetime, filters: Filters, around: Around | None) -> dict[str, Any]:
    """The query for gigs that may be shown and taken. It asks the time itself, so that a late timer shows none."""
    query: dict[str, Any] = {"status": "open", "terms.valid_until": {"$gt": now}}
    if filters.district:
        codes = [code for each in filters.district if len(each) == 6 for code in codes_of(of_today(each))]
        query["district"] = {"$in": [*codes, *(beginning(each) for each in filters.district if len(each) < 6)]}
    if filters.occupation:
        query["terms.occupation"] = {"$in": [beginning(filters.occupation)]}
    if filters.min_fen_per_hour:
        query["fen_per_hour"] = {"$gte": filters.min_fen_per_hour}
    if filters.from_:
        query["terms.period.start"] = {"$gte": filters.from_}
    if filters.to:
        query["terms.period.end"] = {"$lte": filters.to}
    query |= {f"terms.{name}": True for name in ("meals", "lodging") if getattr(filters, name)}
    if filters.no_night_work:
        query["terms.night_work"] = False
    if filters.hiring:
        query["terms.hiring"] = filters.hiring
    if filters.no_requirements:
        query |= {"terms.skills": [], "terms.certificates": []}
    if around and math.isfinite(around.within_m):
        query["point"] = _inside(around, around.within_m)
    return _and(query, *(_with(word) for word in _words(filters)))


def _words(filters: Filters) -> list[str]:
    return words_of(filters.q or "")


def _with(word: str) -> dict[str, Any]:
    """Texts with a word in them. Its pairs, which are indexed, leave few to look at; a single pair says it all."""
    pairs = pairs_within(word)
    if len(word) <= 2:
        return {"pairs": pairs[0] if pairs else beginning(word)}
    return {"pairs": {"$all": pairs}, "text": holding(word)}


def _and(query: Mapping[str, Any], *more: Mapping[str, Any]) -> dict[str, Any]:
    return {"$and": [query, *more]} if more else dict(query)


def _inside(around: Around, radius_m: float) -> dict[str, Any]:
    return {"$geoWithin": {"$centerSphere": [[around.lon, around.lat], radius_m / EARTH_M]}}


# --- in what order -------------------------------------------------------------------------------------------------


async def _newest(unit: Unit, query: dict[str, Any], after: Mark, limit: int, hint: str | None) -> list[Spot]:
    rows = await _highest(
        unit, query, "posted_at", after, EPOCH - after.rank * TICK if after.gig_id else None, limit, hint
    )
    return [Spot((EPOCH - row["posted_at"]) / TICK, row["_id"]) for row in rows]


async def _best_paid(unit: Unit, query: dict[str, Any], after: Mark, limit: int, hint: str | None) -> list[Spot]:
    steady = _and(query, {"reranked_at": {"$not": {"$gt": after.as_of}}})
    rows = await _highest(unit, steady, "fen_per_hour", after, -after.rank, limit, hint)
    spots = [Spot(-row["fen_per_hour"], row["_id"]) for row in rows]
    spots += [Spot(-gig.rank(after.as_of).fen_per_hour, gig.id) for gig in await _moved(unit, query, after)]
    return _in_order(spots, after, limit)


async def _nearest(
    unit: Unit, query: dict[str, Any], around: Around, after: Mark, limit: int, hint: str | None
) -> list[Spot]:
    """MongoDB says what lies within a ring, by the index that serves best; distances and their order are ours.

    Where words are looked up first (`hint`), there are few, and no rings.
    """
    moved = []
    for gig in await _moved(unit, query, after):
        was = gig.rank(after.as_of)
        if around.metres(gig.terms.place.lat, gig.terms.place.lon) <= around.within_m:
            moved.append(Spot(around.metres(was.lat, was.lon), gig.id))
    steady = _and(query, {"reranked_at": {"$not": {"$gt": after.as_of}}})
    if after.rank > SLACK_M:
        steady = _and(steady, {"point": {"$not": _inside(around, after.rank - SLACK_M)}})
    ring_m = max(FIRST_RING_M, 2 * after.rank)
    while True:
        last = hint is not None or ring_m >= min(around.within_m, FAR_M)
        within = steady if last else _and(steady, {"point": _inside(around, ring_m + SLACK_M)})
        reach_m = around.within_m if last else ring_m
        rows = await unit.aggregate(Gig, [{"$match": within}, {"$project": {"at": "$point.coordinates"}}], hint=hint)
        spots = [Spot(around.metres(*reversed(row["at"])), row["_id"]) for row in rows]
        spots = [spot for spot in spots if spot.rank <= reach_m]
        found = _in_order([*spots, *(spot for spot in moved if last or spot.rank <= reach_m)], after, limit)
        if last or len(found) == limit:
            return found
        ring_m *= 4


async def _highest(
    unit: Unit, query: dict[str, Any], field: str, after: Mark, value: Any, limit: int, hint: str | None
) -> list[dict[str, Any]]:
    """The first after a mark, which has this value of the field, when the highest come first."""
    if after.gig_id:
        query = _and(query, {field: {"$lte": value}, "$or": [{field: {"$lt": value}}, {"_id": {"$lt": after.gig_id}}]})
    sort = {field: -1, "_id": -1}
    steps: list[dict[str, Any]] = [{"$match": query}, {"$sort": sort}, {"$limit": limit}, {"$project": {field: 1}}]
    return await unit.aggregate(Gig, steps, hint=hint)


async def _moved(unit: Unit, query: dict[str, Any], after: Mark) -> list[Gig]:
    """Gigs whose pay or place is another than when the list began."""
    return await unit.find(Gig, _and(query, {"reranked_at": {"$gt": after.as_of}}))


def _in_order(spots: Iterable[Spot], after: Mark, limit: int) -> list[Spot]:
    later = [s for s in spots if s.rank > after.rank or (s.rank == after.rank and s.gig_id < after.gig_id)]
    return sorted(sorted(later, key=lambda s: s.gig_id, reverse=True), key=lambda s: s.rank)[:limit]
