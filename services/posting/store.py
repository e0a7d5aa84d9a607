"""What posting remembers: employers, gigs, and which placements stand."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pymongo import ASCENDING, DESCENDING, GEOSPHERE, IndexModel

from services.posting.domain import CloseReason, EmployerStatus, GigStatus, ReviewStatus
from services.posting.rules import SHIPPED, Policy
from services.posting.screening import Finding, Floor, Kind
from shared.contracts.posting import GigTerms
from shared.rulebook import RuleBook, RuleVersion
from shared.unit import Document, Unit

_OPEN = {"status": "open"}


class Employer(Document):
    """A business that posts. Its id is its account's. `contact` is sealed; `revision` counts what a clerk checks.

    `warn_at`: when it is told next that its verification ends; `agencies`: those that it lets post in its name.
    """

    collection = "employers"
    indexes = (
        IndexModel("credit_code", unique=True),
        IndexModel([("status", ASCENDING), ("_id", ASCENDING)]),
    )

    name: str
    credit_code: str
    licence_no: str
    district: str
    contact: bytes
    status: EmployerStatus = "pending"
    reason: str | None = None
    verified_until: datetime | None = None
    warn_at: datetime | None = None
    revision: int = 1
    agencies: tuple[str, ...] = ()

    def checked_until(self, now: datetime) -> datetime | None:
        """How long it may post; None when it may not, also when the timer that ends its verification is late."""
        until = self.verified_until if self.status == "verified" else None
        return until if until and now < until else None


class Gig(Document):
    """A gig and how many of its seats are placed. `revision` counts its terms, `version` also its seats."""

    collection = "gigs"
    indexes = (
        IndexModel([("status", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([("district", ASCENDING), ("_id", DESCENDING)], partialFilterExpression=_OPEN),
        IndexModel([("terms.occupation", ASCENDING), ("_id", DESCENDING)], partialFilterExpression=_OPEN),
        IndexModel([("point", GEOSPHERE)], partialFilterExpression=_OPEN),
        IndexModel([("terms.employer_id", ASCENDING), ("_id", DESCENDING)]),
    )

    district: str
    terms: GigTerms
    status: GigStatus = "open"
    closed_reason: CloseReason | None = None
    placed: int = 0
    revision: int = 1
    posted_at: datetime
    origin: str | None = None

    def expired(self, now: datetime) -> bool:
        """True from `valid_until` on, also when the timer that closes it is late."""
        return now >= self.terms.valid_until

    def to_mongo(self) -> dict[str, Any]:
        place = self.terms.place
        return super().to_mongo() | {"point": {"type": "Point", "coordinates": [place.lon, place.lat]}}


class Placement(Document):
    """A placement of matching by its id. Once it does not stand, it never does again."""

    collection = "placements"

    gig_id: str
    stands: bool


class Review(Document):
    """A post or an amendment that may break a rule, and waits for a clerk. Nobody else sees it before that.

    A post's review has the id of the gig that it may become; an amendment's (`amends` is the revision of the gig that
    it changes) names gig and revision. `round` counts decisions to come: a refusal may be appealed against once, and
    then somebody else decides.
    """

    collection = "reviews"
    indexes = (
        IndexModel([("status", ASCENDING), ("_id", ASCENDING)]),
        IndexModel([("employer_id", ASCENDING), ("_id", DESCENDING)]),
    )

    employer_id: str
    district: str
    gig_id: str
    amends: int | None
    terms: GigTerms
    findings: tuple[Finding, ...]
    rules: str
    appeal: str | None
    origin: str | None = None
    status: ReviewStatus = "waiting"
    round: int = 1
    reason: str | None = None
    decided_by: str | None = None
    asked_at: datetime
    decided_at: datetime | None = None

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return tuple(dict.fromkeys(finding.kind for finding in self.findings))


class Agency(Document):
    """Another agency that may post for employers who let it, in its districts. Its id is its account's."""

    collection = "agencies"

    name: str
    districts: tuple[str, ...]

    def covers(self, district: str) -> bool:
        return district.startswith(self.districts)


class Offered(Document):
    """What became of a post that came under an origin id. Its own id is the two together (`offered_id`).

    `digest` is of the post as it was taken last; none after it was withdrawn.
    """

    collection = "offered"

    gig_id: str
    review_id: str | None
    digest: str | None


def offered_id(feed: str, origin_id: str) -> str:
    """An origin id with the feed that it is unique in: the account of an employer or an agency."""
    return f"{feed}/{origin_id}"


DOCUMENTS = (Employer, Gig, Placement, Review, Agency, Offered, RuleVersion)

RULES = RuleBook(Policy, SHIPPED)


async def floor_of(unit: Unit, district: str, terms: GigTerms) -> Floor:
    """What an hour of these terms must pay: by the rules that are in force when the work begins."""
    policy = await RULES.of(unit, district, at=terms.period.start)
    return Floor(district, policy.hourly_floor_fen)


async def employer_with_code(unit: Unit, credit_code: str) -> Employer | None:
    found = await unit.find(Employer, {"credit_code": credit_code}, limit=1)
    return found[0] if found else None


async def agencies(unit: Unit) -> list[Agency]:
    return await unit.find(Agency, {}, sort=[("_id", ASCENDING)])


async def employers(
    unit: Unit, status: EmployerStatus, districts: Sequence[str] | None, *, after: str | None, limit: int
) -> list[Employer]:
    """Employers of a status, by id; `districts` may be prefixes such as 4301; None for all."""
    query: dict[str, Any] = {"status": status}
    if districts is not None:
        query["district"] = _within(districts)
    if after is not None:
        query["_id"] = {"$gt": after}
    return await unit.find(Employer, query, sort=[("_id", ASCENDING)], limit=limit)


async def gigs_of(unit: Unit, employer_id: str, *, after: str | None, limit: int) -> list[Gig]:
    """An employer's gigs in every state, newest first."""
    query: dict[str, Any] = {"terms.employer_id": employer_id}
    if after is not None:
        query["_id"] = {"$lt": after}
    return await unit.find(Gig, query, sort=[("_id", DESCENDING)], limit=limit)


async def gigs_not_closed(unit: Unit, employer_id: str) -> list[Gig]:
    return await unit.find(Gig, {"terms.employer_id": employer_id, "status": {"$ne": "closed"}})


async def reviews(
    unit: Unit, status: ReviewStatus, districts: Sequence[str] | None, now: datetime, *, after: str | None, limit: int
) -> list[Review]:
    """Reviews of a status, by id; of those that wait, only what could still be published."""
    query: dict[str, Any] = {"status": status}
    if districts is not None:
        query["district"] = _within(districts)
    if status == "waiting":
        query["terms.valid_until"] = {"$gt": now}
    if after is not None:
        query["_id"] = {"$gt": after}
    return await unit.find(Review, query, sort=[("_id", ASCENDING)], limit=limit)


async def reviews_of(unit: Unit, employer_id: str, *, after: str | None, limit: int) -> list[Review]:
    """An employer's reviews in every state, newest first."""
    query: dict[str, Any] = {"employer_id": employer_id}
    if after is not None:
        query["_id"] = {"$lt": after}
    return await unit.find(Review, query, sort=[("_id", DESCENDING)], limit=limit)


def _within(districts: Sequence[str]) -> dict[str, Any]:
    """Districts by their prefixes, such as 4301."""
    return {"$in": [re.compile(f"^{re.escape(district)}") for district in districts]}


# --- search --------------------------------------------------------------------------------------------------------


class Found(NamedTuple):
    """A gig found near a point, with its distance in metres."""

    distance_m: float
    gig: Gig


class Mark(NamedTuple):
    """Where a list by distance goes on: after this gig at this distance."""

    distance_m: float
    gig_id: str


def searchable(now: datetime, districts: Sequence[str], occupation: str | None) -> dict[str, Any]:
    """The query for gigs that may be shown and taken. It asks the time itself, so that a late timer shows none."""
    query: dict[str, Any] = {"status": "open", "terms.valid_until": {"$gt": now}}
    if districts:
        query["district"] = {"$in": list(districts)}
    if occupation:
        query["terms.occupation"] = occupation
    return query


async def newest(unit: Unit, query: dict[str, Any], *, after: str | None, limit: int) -> list[Gig]:
    """Gigs that match, newest first: ids sort by time."""
    if after is not None:
        query = query | {"_id": {"$lt": after}}
    return await unit.find(Gig, query, sort=[("_id", DESCENDING)], limit=limit)


async def nearest(
    unit: Unit,
    query: dict[str, Any],
    *,
    lat: float,
    lon: float,
    within_m: float | None,
    after: Mark | None,
    limit: int,
) -> list[Found]:
    """Gigs that match, nearest first; of several at one distance, the newest first.

    MongoDB hands them out by distance and stops at the limit, but leaves open which of several at one distance come.
    Only when those straddle the end of the page are they asked for again, in order.
    """

    async def ask(low: float, high: float | None, *steps: dict[str, Any]) -> list[Found]:
        around = {
            "near": {"type": "Point", "coordinates": [lon, lat]},
            "distanceField": "distance",
            "query": query,
            "minDistance": max(0.0, low - _SLACK_M),
            **({} if high is None else {"maxDistance": high}),
        }
        later = [{"$match": _after(after)}] if after else []
        rows = await unit.aggregate(Gig, [{"$geoNear": around}, *later, *steps, {"$limit": limit}])
        return [Found(row["distance"], Gig.from_mongo(row)) for row in rows]

    found = await ask(after.distance_m if after else 0.0, within_m)
    if len(found) == limit and found[-1].distance_m == found[-2:][0].distance_m:
        at = found[-1].distance_m
        found += await ask(at, at + _SLACK_M, {"$match": {"distance": at}}, {"$sort": {"_id": DESCENDING}})
    unique = {each.gig.id: each for each in found}.values()
    newest_first = sorted(unique, key=lambda each: each.gig.id, reverse=True)
    return sorted(newest_first, key=lambda each: each.distance_m)[:limit]


_SLACK_M = 1.0
"""Bounds are converted to radians and back: wide enough that rounding loses nothing, cut to measure afterwards."""


def _after(mark: Mark) -> dict[str, Any]:
    older = {"distance": mark.distance_m, "_id": {"$lt": mark.gig_id}}
    return {"$or": [{"distance": {"$gt": mark.distance_m}}, older]}
