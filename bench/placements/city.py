"""A made-up city of many districts: gigs for the next hours, and people who live near them and wait for work."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

import h3

from shared import clock
from shared.contracts.posting import GigPosted, GigTerms
from shared.contracts.terms import Pay, PayMode, PayUnit, Period, Place
from shared.contracts.workers import WorkerCheckedIn, WorkerProfile

SEATS = 3
"""Of each gig; those of the simulated city have 2.7 on average."""

SOON, SHIFT = timedelta(minutes=40), timedelta(hours=2)
"""Every gig begins soon, so that by the rules nobody is kept waiting for somebody nearer (`soon_minutes`)."""

WAITS = timedelta(hours=4)
SPREAD_DEGREES = 0.01
EMPLOYERS = 200
HOT = 0.6
"""The part of all that comes which a hot spot's one district has."""


class District(NamedTuple):
    code: str
    lat: float
    lon: float


def districts(many: int) -> list[District]:
    """So many districts of one province, each some 30 km from the next."""
    return [
        District(f"43{1 + n // 10:02}{1 + n % 10:02}", 26.0 + 0.3 * (n // 10), 110.0 + 0.3 * (n % 10))
        for n in range(many)
    ]


class Seats(NamedTuple):
    """A gig as it is posted, and one person for each of its seats."""

    gig: GigPosted
    people: list[WorkerCheckedIn]


@dataclass
class City:
    """Who and what comes next. With `hot`, most of it comes to the first district."""

    districts: Sequence[District]
    hot: bool = False
    chance: random.Random = field(default_factory=lambda: random.Random(6))
    _number: "itertools.count[int]" = field(default_factory=itertools.count)

    def draw(self) -> District:
        if self.hot and self.chance.random() < HOT:
            return self.districts[0]
        return self.chance.choice(self.districts)

    def near(self, district: District) -> tuple[float, float]:
        return self.chance.gauss(district.lat, SPREAD_DEGREES), self.chance.gauss(district.lon, SPREAD_DEGREES)

    def next(self) -> Seats:
        """Everybody here accepts automatically, so that the window that makes an offer makes the placement."""
        district = self.draw()
        gig = posted(self, district, f"gig-{next(self._number)}", SEATS)
        return Seats(gig, [waiting(self, district, f"worker-{next(self._number)}") for _ in range(SEATS)])


def posted(city: City, district: District, gig_id: str, seats: int, skills: tuple[str, ...] = ()) -> GigPosted:
    """A gig as posting says it."""
    start, (lat, lon) = clock.now() + SOON, city.near(district)
    return GigPosted(
        gig_id=gig_id,
        district=district.code,
        terms=GigTerms(
            employer_id=f"employer-{city.chance.randrange(EMPLOYERS)}",
            employer_name="分拨中心（虚构）",
            title="快件分拣员",
            occupation="4-02-07-09",
            content="到件分拣，带班培训十分钟后上岗，提供饮水和手套。",
            place=Place(lat=lat, lon=lon, address="某分拨中心（虚构）"),
            period=Period(start=start, end=start + SHIFT),
            headcount=seats,
            pay=Pay(amount_fen=city.chance.randrange(2_200, 3_000, 50), unit=PayUnit.hour, mode=PayMode.same_day),
            skills=skills,
            valid_until=start,
        ),
    )


def waiting(city: City, district: District, worker_id: str) -> WorkerCheckedIn:
    """A check-in as workers says it."""
    now, (lat, lon) = clock.now(), city.near(district)
    checkin = clock.new_id()
    return WorkerCheckedIn(
        presence_id=f"{checkin}:{district.code}",
        checkin_id=checkin,
        worker_id=worker_id,
        district=district.code,
        cell=h3.latlng_to_cell(lat, lon, 9),
        profile=WorkerProfile(reach_m=10_000, floor_fen_per_hour=1_900, accepts_automatically=True),
        at=now,
        until=now + WAITS,
    )


def form(city: City, district: District, seats: int) -> dict[str, Any]:
    """The same gig as an employer's app posts it."""
    gig = posted(city, district, "", seats)
    terms = gig.terms.model_dump(mode="json", exclude={"employer_id", "employer_name"}, exclude_none=True)
    return {"district": district.code, "hiring": "instant"} | terms
