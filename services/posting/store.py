"""What posting remembers: employers, gigs, and which placements stand."""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from bson import Regex
from pydantic import BaseModel
from pymongo import ASCENDING, DESCENDING, GEOSPHERE, IndexModel

from services.posting.domain import CloseReason, EmployerStatus, GigStatus, ReviewStatus
from services.posting.rules import SHIPPED, Policy
from services.posting.screening import Finding, Floor, Kind
from services.posting.tables import OCCUPATIONS
from shared.contracts.posting import GigTerms
from shared.contracts.terms import fen_per_hour
from shared.rulebook import RuleBook, RuleVersion
from shared.sanctions import HeardSanction
from shared.search import pairs_of, plain_text
from shared.unit import Document, Unit

_OPEN = {"status": "open"}
_NEWEST = (("posted_at", DESCENDING), ("_id", DESCENDING))
_FILTERS = tuple(
    (name, ASCENDING)
    for name in (
        *("district", "terms.occupation", "terms.period.start", "terms.period.end", "terms.valid_until"),
        *("terms.meals", "terms.lodging", "terms.night_work", "terms.hiring"),
    )
)
"""At the end of an index that gives an order: what does not fit is passed over without reading the gig."""
PAIRS = "pairs_1"
_PRICED = ("district", "fen_per_hour", "closed_reason")
RANKS_KEPT = timedelta(days=1)
"""How long pages can be followed."""


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


class Rank(BaseModel):
    """By what a gig stood in lists until its terms were changed."""

    until: datetime
    fen_per_hour: int
    lat: float
    lon: float


class Gig(Document):
    """A gig and how many of its seats are placed. `revision` counts its terms, `version` also its seats.

    `ranks` are those it had in the last day (`RANKS_KEPT`).
    """

    collection = "gigs"
    indexes = (
        IndexModel([("status", ASCENDING), *_NEWEST, *_FILTERS], partialFilterExpression=_OPEN),
        IndexModel([("fen_per_hour", DESCENDING), ("_id", DESCENDING), *_FILTERS], partialFilterExpression=_OPEN),
        IndexModel([("district", ASCENDING), *_NEWEST], partialFilterExpression=_OPEN),
        IndexModel([("terms.occupation", ASCENDING), *_NEWEST], partialFilterExpression=_OPEN),
        IndexModel([("point", GEOSPHERE)], partialFilterExpression=_OPEN),
        IndexModel("pairs", name=PAIRS, partialFilterExpression=_OPEN),
        IndexModel("reranked_at", partialFilterExpression=_OPEN),
        IndexModel([("terms.employer_id", ASCENDING), ("_id", DESCENDING)]),
        IndexModel([(name, ASCENDING) for name in ("terms.occupation", "posted_at", *_PRICED)]),
    )

    district: str
    terms: GigTerms
    status: GigStatus = "open"
    closed_reason: CloseReason | None = None
    placed: int = 0
    revision: int = 1
    posted_at: datetime
    origin: str | None = None
    ranks: tuple[Rank, ...] = ()

    def expired(self, now: datetime) -> bool:
        """True from `valid_until` on, also when the timer that closes it is late."""
        return now >= self.terms.valid_until

    @property
    def fen_per_hour(self) -> int:
        return fen_per_hour(self.terms.pay, self.terms.period)

    def rank(self, at: datetime) -> Rank:
        """By what it stood in lists at a moment; by what it first did if that was before it was posted."""
        return next((rank for rank in self.ranks if rank.until > at), self._rank(at))

    def change(self, terms: GigTerms, now: datetime) -> None:
        """Take new terms, and keep by what it stood in lists until now."""
        before, self.terms = self._rank(now), terms
        if self._rank(now) != before:
            self.ranks = (*(rank for rank in self.ranks if rank.until > now - RANKS_KEPT), before)

    def _rank(self, until: datetime) -> Rank:
        place = self.terms.place
        return Rank(until=until, fen_per_hour=self.fen_per_hour, lat=place.lat, lon=place.lon)

    def to_mongo(self) -> dict[str, Any]:
        terms = self.terms
        name = OCCUPATIONS.get(terms.occupation)
        names = (name.zh, name.en) if name else ()
        text = plain_text("\n".join((terms.title, terms.content, terms.employer_name, *names)))
        return super().to_mongo() | {
            "point": {"type": "Point", "coordinates": [terms.place.lon, terms.place.lat]},
            "fen_per_hour": self.fen_per_hour,
            "text": text,
            "pairs": pairs_of(text),
            "reranked_at": self.ranks[-1].until if self.ranks else None,
        }


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


class Line(Document):
    """Where an agency's offers wait for its turn: the last one's number, and whether it is empty. By agency id."""

    collection = "lines"

    last: int = 0
    empty: bool = True


class Served(Document):
    """The number up to which an agency's line has been answered. Its id is the agency's.

    Beside `Line` and not in it: who lines up does not collide with who is served.
    """

    collection = "served"

    number: int = 0


class Waiting(Document):
    """An offer in its agency's line, as it was sent; gone when it is answered."""

    collection = "waiting"

    agency_id: str
    number: int
    origin_id: str
    post: dict[str, Any]


def waiting_id(agency_id: str, number: int) -> str:
    """Ids of one line sort by their numbers."""
    return f"{agency_id}:{number:012}"


DOCUMENTS = (Employer, Gig, Placement, Review, HeardSanction, Agency, Offered, Line, Served, Waiting, RuleVersion)

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


async def first_waiting(unit: Unit, agency_id: str, limit: int) -> list[Waiting]:
    """The first of an agency's line, in the order in which they were sent."""
    within = {"$gte": waiting_id(agency_id, 0), "$lte": waiting_id(agency_id, 10**12 - 1)}
    return await unit.find(Waiting, {"_id": within}, sort=[("_id", ASCENDING)], limit=limit)


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
    return {"$in": [beginning(district) for district in districts]}


def beginning(prefix: str) -> Regex[str]:
    """Texts that begin so. A pattern of Python's own would carry a flag that keeps MongoDB from using an index."""
    return Regex(f"^{re.escape(prefix)}")


def holding(word: str) -> Regex[str]:
    """Texts with a word in them."""
    return Regex(re.escape(word))


async def paid_by_the_hour(unit: Unit, area: str, occupation: str, since: datetime) -> Counter[int]:
    """How many posts of a trade (4-02 or finer) in an area since then pay so many fen an hour.

    Posts of employers that were refused count for nothing, nor does piece work.
    """
    query = {
        "terms.occupation": beginning(occupation),
        "posted_at": {"$gte": since},
        "district": beginning(area),
        "fen_per_hour": {"$gt": 0},
        "closed_reason": {"$ne": "suspended"},
    }
    rows = await unit.aggregate(Gig, [{"$match": query}, {"$group": {"_id": "$fen_per_hour", "posts": {"$sum": 1}}}])
    return Counter({row["_id"]: row["posts"] for row in rows})
