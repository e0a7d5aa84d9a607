"""What a region has on file: many workers and gigs, made by the services' own documents; all elsewhere, or past.

A thousand of each kind are made by their classes and written again and again under other ids, so that a million are
there within minutes. Of the district at work every size has the same.
"""

import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from pymongo import AsyncMongoClient

from bench import search
from bench.burst import DISTRICT, opening, waiting
from services.matching.app import service as matching_service
from services.matching.domain import local_day
from services.matching.store import Commitments, Offer, Profile, Seat, Waiting, zone
from services.matching.store import Gig as MatchingGig
from services.matching.store import Placement as MatchingPlacement
from services.posting.app import service as posting_service
from services.posting.store import Employer, Placement
from services.posting.store import Gig as PostingGig
from shared import clock
from shared.contracts.matching import OfferMade, Reason
from shared.contracts.posting import GigPosted
from shared.contracts.workers import WorkerProfile
from shared.service import Service
from shared.store import Store
from shared.unit import Document

Row = dict[str, Any]
Make = Callable[[int], Row]

TEMPLATES, AT_ONCE = 1_000, 2_000
ELSEWHERE = [district for district in search.DISTRICTS if district != DISTRICT]
LATELY_DAYS = 60
WAIT, OPEN, POST = 50, 20, 50
"""One of so many workers waits, one of so many gigs is open in posting, and to one of so many there is an employer."""

CROWD, GIGS = 1_500, 300
"""People and gigs of the district at work, in every size: `worker-n` of bench/burst.py, and `here-n`."""


async def fill(mongo_url: str, database: str, service: Service, many: int) -> None:
    """Put so many on file in an empty database; the indexes afterwards, which is quicker."""
    chance = random.Random(many)
    made = {matching_service.name: _matching, posting_service.name: _posting}[service.name](chance, clock.now())
    async with AsyncMongoClient[Row](mongo_url, tz_aware=True) as patient:  # an index of a million takes its time
        store = Store(patient, database, source="bench")
        for kind, (make, part) in made.items():
            kept, count = patient[database][kind], many // part
            for first in range(0, count, AT_ONCE):
                await kept.insert_many([make(n) for n in range(first, min(first + AT_ONCE, count))], ordered=False)
        for document in _matching_here() if service is matching_service else _posting_here():
            await store.db[document.collection].insert_one(document.to_mongo() | {"version": 1})
        await store.prepare(service.documents)


def _delivered(topic: str, now: datetime) -> dict[str, tuple[Make, int]]:
    """What delivery keeps: which events were handled, and how often each aggregate has spoken."""
    return {
        "_inbox": (lambda n: {"_id": clock.new_id(), "at": now - timedelta(seconds=n % 1_000_000)}, 1),
        "_streams": (lambda n: {"_id": f"{topic}:past-{n}", "last": 3}, 1),
    }


def _matching(chance: random.Random, now: datetime) -> dict[str, tuple[Make, int]]:
    posts, people = list(_posts(chance, now)), [waiting(chance, n) for n in range(TEMPLATES)]
    gigs = _rows(MatchingGig(id=e.gig_id, district=e.district, terms=e.terms, at=now) for e in posts)
    seats = _rows(Seat(id="", gig_id="", number=1, district="", until=now, open=False, placement_id="-") for _ in posts)
    offers = _rows(_offer(each, now) for each in posts)
    placements = _rows(_placement(each, now) for each in posts)
    today = local_day(now, zone())
    profiles = _rows(Profile(id="", profile=each.profile, days=[today - 9, today - 4]) for each in people)
    present = _rows(_waiting(each) for each in people)
    promised = _rows(Commitments(id="", turns={"past": today - 9}) for _ in people)

    def past(n: int) -> Row:
        return _where(n) | {"at": now - timedelta(minutes=n % (LATELY_DAYS * 1440)), "closed": "expired"}

    def pair(n: int) -> Row:
        return {"gig_id": f"past-{n}", "worker_id": f"past-{n}", "employer_id": f"employer-{n % 20_000}"}

    def maker(rows: list[Row], id: str, more: Callable[[int], Row]) -> Make:
        return lambda n: rows[n % len(rows)] | {"_id": id.format(n), "version": 2} | more(n)

    return {
        MatchingGig.collection: (maker(gigs, "past-{}", past), 1),
        Seat.collection: (maker(seats, "past-{}:1", lambda n: _where(n) | {"gig_id": f"past-{n}"}), 1),
        Offer.collection: (maker(offers, "past-{}", lambda n: _where(n) | pair(n)), 1),
        MatchingPlacement.collection: (maker(placements, "past-{}", lambda n: _where(n) | pair(n)), 1),
        Profile.collection: (maker(profiles, "past-{}", lambda n: {}), 1),
        Commitments.collection: (maker(promised, "past-{}", lambda n: {}), 1),
        Waiting.collection: (maker(present, "past-{}", lambda n: _where(n) | {"worker_id": f"past-{n}"}), WAIT),
        **_delivered(OfferMade.topic, now),
    }


def _posting(chance: random.Random, now: datetime) -> dict[str, tuple[Make, int]]:
    words = [search.elsewhere(search.post(chance, now), chance, now) for _ in range(TEMPLATES)]
    employer = Employer(
        id="", name="测试企业", credit_code="", licence_no="", district="", contact=b"-" * 80, status="verified"
    )
    likeness, placement = employer.to_mongo(), Placement(id="", gig_id="", stands=True).to_mongo()

    def gig(n: int) -> Row:
        past = {} if n % OPEN == 0 else {"status": "closed", "closed_reason": "expired"}
        return words[n % len(words)] | {"_id": f"past-{n}", "district": _where(n)["district"]} | past

    return {
        PostingGig.collection: (gig, 1),
        Placement.collection: (lambda n: placement | {"_id": f"past-{n}", "gig_id": f"past-{n}", "version": 1}, 1),
        Employer.collection: (lambda n: likeness | {"_id": f"past-{n}", "credit_code": str(n)} | _where(n), POST),
        **_delivered(GigPosted.topic, now),
    }


def _matching_here() -> Iterator[Document]:
    """Everybody here has come before; nobody waits, and no gig is open."""
    for n in range(CROWD):
        yield Profile(id=f"worker-{n}", profile=WorkerProfile(reach_m=10_000))
        yield Commitments(id=f"worker-{n}")


def _posting_here() -> Iterator[Document]:
    chance = random.Random(3)
    for n in range(GIGS):
        event = opening(chance, "")
        terms = event.terms.model_copy(update={"headcount": CROWD // GIGS})
        yield PostingGig(id=f"here-{n}", district=DISTRICT, terms=terms, posted_at=clock.now())


def _posts(chance: random.Random, now: datetime) -> Iterator[GigPosted]:
    for n in range(TEMPLATES):
        event, ago = opening(chance, str(n)), timedelta(minutes=chance.randint(1_440, LATELY_DAYS * 1_440))
        period = event.terms.period.model_copy(
            update={"start": event.terms.period.start - ago, "end": event.terms.period.end - ago}
        )
        terms = event.terms.model_copy(update={"period": period, "valid_until": event.terms.valid_until - ago})
        yield event.model_copy(update={"terms": terms})


def _offer(event: GigPosted, now: datetime) -> Offer:
    codes = ("distance-m", "pay-fen-per-hour", "fit", "waited-s", "days-for-nothing", "hardship", "score")
    at = event.terms.valid_until - timedelta(hours=2)
    return Offer(
        id="", gig_id="", edition=1, worker_id="", employer_id="", district="", presence_id="past", terms=event.terms,
        reasons=[Reason(code=code, value=1_000.0) for code in codes], weights="default", seed=1, first=False,
        delay_ms=900, checked_in_at=at, present_until=event.terms.valid_until, made_at=at, expires_at=at, open=False,
        ended="accepted", placement_id="past",
    )  # fmt: skip


def _placement(event: GigPosted, now: datetime) -> MatchingPlacement:
    at = event.terms.valid_until - timedelta(hours=2)
    return MatchingPlacement(
        id="", offer_id="past", gig_id="", seat=1, worker_id="", employer_id="", district="", terms=event.terms,
        status="placed", checked_in_at=at, at=at,
    )  # fmt: skip


def _waiting(event: Any) -> Waiting:
    facts = event.model_dump(include={"checkin_id", "worker_id", "district", "cell", "at", "until"})
    return Waiting(id=event.presence_id, profile=event.profile, **facts)


def _rows(documents: Any) -> list[Row]:
    return [document.to_mongo() for document in documents]


def _where(n: int) -> Row:
    return {"district": ELSEWHERE[n % len(ELSEWHERE)]}
