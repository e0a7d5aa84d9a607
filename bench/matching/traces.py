"""Two hours of a made-up market, seeded: gigs that are posted, people who check in and leave, in a real district.

What is assumed: places as in the simulated city (clients/city), people and gigs within 1.5 km of a market or station;
pay 22 to 29.5 yuan an hour; three gigs of ten ask for one skill of 18, people have two to six; a quarter of the people
are in difficulty; a fifth have hours promised already.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from clients.city.places import city
from services.matching.engine import Busy, Flags, Floats, Gigs, Ints, People

Kind = Literal["balanced", "scarce", "plentiful", "morning wave", "crews"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SEEDS = (1, 2, 3, 4)

PEOPLE_PER_SEAT: dict[Kind, float] = {
    "balanced": 1.0,
    "scarce": 0.6,
    "plentiful": 1.6,
    "morning wave": 1.2,
    "crews": 1.2,
}
SEATS = 1000
"""As many openings as the burst that the market is built for (F1)."""

HOUR = 3600
SPAN = 2 * HOUR
AROUND_M = 1500
SKILLS = 18
CREW = 10


@dataclass(frozen=True)
class Trace:
    """Times are seconds from the trace's beginning; engine columns that change with time are filled by `at`."""

    kind: Kind
    seed: int
    district: str
    gigs: Gigs
    people: People
    busy: Busy
    posted: Ints
    arrives: Ints
    leaves: Ints
    answers_s: Ints
    """How long each person reads an offer before answering; nothing to people who accept automatically."""
    unwilling: Flags
    """Pairs in which the person would say no, shape (gigs, people)."""

    @property
    def starts(self) -> Ints:
        return self.gigs.start // 1000

    @property
    def seats(self) -> int:
        return int(self.gigs.seats.sum())

    @property
    def shift_h(self) -> float:
        """The mean length of a seat's shift in hours."""
        return float(np.average((self.gigs.end - self.gigs.start) / (1000 * HOUR), weights=self.gigs.seats))

    def at(self, now: Ints | int) -> tuple[Gigs, People]:
        """The engine's columns at a moment, or at one for each pair (then to be broadcast: gigs are a column)."""
        gigs = replace(self.gigs, lead_s=self.starts - now) if isinstance(now, int) else self._column(now)
        return gigs, replace(self.people, waited_s=np.maximum(0, now - self.arrives))

    def _column(self, now: Ints) -> Gigs:
        gigs = self.gigs.at(np.arange(len(self.posted))[:, None])
        return replace(gigs, lead_s=gigs.start // 1000 - now)


def trace(kind: Kind, seed: int, seats: int = SEATS, *, answering: bool = False) -> Trace:
    """All accept automatically; if `answering`, half do, and the others answer after 5 to 45 seconds and say no to one
    gig in ten."""
    draw = np.random.default_rng([seed, KINDS.index(kind)])
    district = city().districts[draw.integers(len(city().districts))]
    points = np.array([point.at for point in district.points])
    sizes: list[int] = []
    while sum(sizes) < seats:
        crew = kind == "crews" and draw.random() < 0.3
        sizes.append(int(draw.integers(CREW, 4 * CREW + 1)) if crew else int(draw.choice([1, 1, 2, 2, 3, 4, 6])))
    size = np.array(sizes, np.int64)
    gigs, people = len(size), round(size.sum() * PEOPLE_PER_SEAT[kind])

    posted, arrives = _moments(draw, kind, gigs), _moments(draw, kind, people)
    if kind == "crews":  # people come in groups
        arrives = draw.choice(draw.integers(0, SPAN, people // 8), people)
    start = posted + ((draw.uniform(0.5, 4, gigs) + np.where(size >= CREW, 2, 0)) * HOUR).astype(np.int64)
    end = start + 60 * draw.choice([120, 240, 360, 480, 600], gigs)
    asks = (draw.random(gigs) < 0.3) & (size < CREW)
    skill = draw.integers(0, SKILLS, gigs)
    known = draw.integers(2, 7, people)
    promised = np.flatnonzero(draw.random(people) < 0.2)
    busy_from = arrives[promised] + draw.integers(0, 12, len(promised)) * HOUR
    gig_lat, gig_lon = _around(draw, points, gigs)
    lat, lon = _around(draw, points, people)
    automatic = (draw.random(people) < 0.5) | (not answering)
    return Trace(
        kind,
        seed,
        district.name_en,
        Gigs(
            ids=np.array([f"g{number:05}" for number in range(gigs)]),
            seats=size,
            offers=np.zeros_like(size),
            lat=gig_lat,
            lon=gig_lon,
            start=start * 1000,
            end=end * 1000,
            day=np.zeros(gigs, np.int64),
            lead_s=start - posted,
            pay=draw.integers(44, 60, gigs) * 50,
            tags=np.zeros((gigs, 1), np.uint64),
            needs=np.where(asks, 1 << skill, 0).astype(np.uint64)[:, None],
            asked=asks.astype(np.int64),
        ),
        People(
            ids=np.array([f"p{number:05}" for number in range(people)]),
            lat=lat,
            lon=lon,
            reach_m=draw.choice([3000, 5000, 8000, 15000], people),
            floor=draw.choice([0, 1500, 1800, 2000, 2200], people),
            waited_s=np.zeros(people, np.int64),
            days=np.zeros(people, np.int64),
            tier=np.where(draw.random(people) < 0.25, draw.integers(1, 4, people), 0),
            refuses=np.zeros((people, 1), np.uint64),
            automatic=automatic,
            has=np.array([_some(draw, int(count)) for count in known], np.uint64)[:, None],
            known=known,
        ),
        Busy(promised, busy_from * 1000, (busy_from + 4 * HOUR) * 1000, 0 * promised, 0 * promised),
        posted,
        arrives,
        arrives + (draw.uniform(2, 8, people) * HOUR).astype(np.int64),
        draw.integers(5, 46, people),
        _refusals(draw, gigs, people) & ~automatic if answering else np.zeros((gigs, people), np.bool_),
    )


def _moments(draw: np.random.Generator, kind: Kind, count: int) -> Ints:
    if kind == "morning wave":
        return np.clip(draw.normal(40 * 60, 20 * 60, count), 0, SPAN).astype(np.int64)
    return draw.integers(0, SPAN, count)


def _around(draw: np.random.Generator, points: Floats, count: int) -> tuple[Floats, Floats]:
    middle = points[draw.integers(0, len(points), count)]
    angle, away = draw.uniform(0, 2 * np.pi, count), AROUND_M * np.sqrt(draw.random(count)) / 111_320
    lat = middle[:, 0] + away * np.cos(angle)
    return lat, middle[:, 1] + away * np.sin(angle) / np.cos(np.radians(middle[:, 0]))


def _refusals(draw: np.random.Generator, gigs: int, people: int) -> Flags:
    return draw.random((gigs, people)) < 0.1


def _some(draw: np.random.Generator, count: int) -> int:
    return sum(1 << int(skill) for skill in draw.choice(SKILLS, count, replace=False))
