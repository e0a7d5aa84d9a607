"""What a window sees of its district: rows of the database as the engine's arrays.

Read afresh for each window and never trusted: what a window writes, it checks again in the unit that writes it.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import h3
import numpy as np

from services.matching import store
from services.matching.domain import (
    Cap,
    Commitment,
    arrival,
    away,
    codes_of,
    local_day,
    minutes_by_cap,
    minutes_promised,
    most_minutes,
    refusals,
    tags,
    within_caps,
)
from services.matching.engine import Busy, Caps, Gigs, Ints, People
from services.matching.rules import Rules
from services.matching.store import Gig
from shared.contracts.terms import fen_per_hour
from shared.unit import Unit, at_once

WORD = 64


class Snapshot(NamedTuple):
    """The engine's inputs, and the documents behind the rows of its first two."""

    gigs: Gigs
    people: People
    busy: Busy
    caps: Caps
    refused: Ints
    codes: list[str]
    tags: list[str]
    """What the bits of gigs and people stand for: what is asked for, and what some do not take."""
    gig_rows: list[Gig]
    person_rows: list[dict[str, Any]]
    exposure: int
    """That of the rules; 1 when a window cannot look at all the gigs that lack a first offer."""
    cut: bool
    """True when there were more gigs with room than a window looks at."""


async def read(
    unit: Unit, district: str, rules: Rules, seed: int, *, seats: dict[str, int], offers: dict[str, int]
) -> Snapshot | None:
    """The gigs of a district that have room for offers and the people who are free for one; None when either lacks.

    `seats` and `offers` are the district's open ones by gig.
    """
    bare = sorted(id for id, count in seats.items() if offers.get(id, 0) < count)
    room = sorted(id for id, count in seats.items() if count <= offers.get(id, 0) < count * rules.exposure)
    most, draw = rules.gigs_per_window, random.Random(seed)
    looked_at = draw.sample(bare, min(most, len(bare)))
    looked_at += draw.sample(room, min(most - len(looked_at), len(room)))
    gigs = [
        gig
        for gig in (await store.gigs(unit, looked_at)).values()
        if gig.takes(unit.now) and within_caps(gig.terms, rules.hours, store.zone(), minor=False)
    ]
    if not gigs:
        return None
    waiting, known = await who_waits(unit, district, rules)
    people = [row for row in waiting if is_free(row["at"], known.get(row["worker_id"]))]
    if not people:
        return None
    seen = await of(unit, gigs, people, known, rules, seats=seats, offers=offers)
    return seen._replace(exposure=1 if len(bare) > most else rules.exposure, cut=len(bare) + len(room) > most)


async def of(
    unit: Unit,
    gigs: Sequence[Gig],
    people: Sequence[dict[str, Any]],
    known: dict[str, dict[str, Any]],
    rules: Rules,
    *,
    seats: dict[str, int],
    offers: dict[str, int],
) -> Snapshot:
    """These gigs and people as the engine sees them. `known` are the commitments of those who have any.

    `seats` and `offers` are the open ones by gig. Neither gigs nor people may be empty.
    """
    asked = [codes_of(gig.terms.skills, gig.terms.certificates) for gig in gigs]
    tagged = [tags(gig.terms, rules, store.zone()) for gig in gigs]
    words, marks = _Words(asked), _Words(tagged)
    return Snapshot(
        _gig_arrays(gigs, seats, offers, words, asked, marks, tagged, rules, unit.now),
        _people_arrays(people, words, marks, {gig.terms.occupation for gig in gigs}, unit.now),
        _busy(gigs, people, known, rules),
        _caps(gigs, people, known, rules),
        await _refused(unit, gigs, people),
        words.codes,
        marks.codes,
        list(gigs),
        list(people),
        rules.exposure,
        cut=False,
    )


async def who_waits(unit: Unit, district: str, rules: Rules) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Raw rows of who waits in a district, each person once, and the commitments of those who have any."""
    # Of two check-ins of one worker the later counts.
    waiting = {row["worker_id"]: row for row in await store.waiting_in(unit, district, limit=rules.people_per_window)}
    return list(waiting.values()), await store.engaged(unit, waiting.keys())


def is_free(checked_in_at: datetime, commitments: dict[str, Any] | None) -> bool:
    """True when a worker holds no offer and has not been placed since the check-in."""
    if commitments is None:
        return True
    placed_at = commitments["placed_at"]
    return commitments["offer_id"] is None and (placed_at is None or placed_at < checked_in_at)


class _Words:
    """The codes that the window's gigs have, each as a bit: skills and certificates they ask for, or their tags."""

    def __init__(self, codes: Iterable[set[str]]) -> None:
        self.codes = sorted(set().union(*codes))
        self._bit = {code: number for number, code in enumerate(self.codes)}
        self.words = max(1, -(-len(self._bit) // WORD))

    def of(self, codes: Iterable[str]) -> list[int]:
        found = [0] * self.words
        for code in codes:
            bit = self._bit.get(code)
            if bit is not None:
                found[bit // WORD] |= 1 << bit % WORD
        return found


def _gig_arrays(
    gigs: Sequence[Gig],
    seats: dict[str, int],
    offers: dict[str, int],
    words: _Words,
    asked: Sequence[set[str]],
    marks: _Words,
    tagged: Sequence[set[str]],
    rules: Rules,
    now: datetime,
) -> Gigs:
    terms = [gig.terms for gig in gigs]
    return Gigs(
        ids=np.array([gig.id for gig in gigs]),
        seats=_ints(seats[gig.id] for gig in gigs),
        offers=_ints(offers.get(gig.id, 0) for gig in gigs),
        lat=np.array([term.place.lat for term in terms]),
        lon=np.array([term.place.lon for term in terms]),
        start=_ints(_ms(term.period.start) for term in terms),
        end=_ints(_ms(term.period.end) for term in terms),
        day=_ints(local_day(term.period.start, store.zone()) for term in terms),
        lead_s=_ints((arrival(term.period, now, rules.backfill.arrive) - now).total_seconds() for term in terms),
        pay=_ints(fen_per_hour(term.pay, term.period) for term in terms),
        tags=np.array([marks.of(found) for found in tagged], np.uint64),
        needs=np.array([words.of(codes) for codes in asked], np.uint64),
        asked=_ints(len(codes) for codes in asked),
    )


def _people_arrays(
    rows: Sequence[dict[str, Any]], words: _Words, marks: _Words, occupations: set[str], now: datetime
) -> People:
    profiles = [row["profile"] for row in rows]
    places = np.array([_middle(row["cell"]) for row in rows])
    skilled = [codes_of(profile["skills"], profile["certificates"]) for profile in profiles]
    return People(
        ids=np.array([row["worker_id"] for row in rows]),
        lat=places[:, 0],
        lon=places[:, 1],
        reach_m=_ints(profile["reach_m"] for profile in profiles),
        floor=_ints(profile["floor_fen_per_hour"] for profile in profiles),
        waited_s=_ints(max(0.0, (now - row["at"]).total_seconds()) for row in rows),
        days=_ints(row.get("days", 0) for row in rows),
        tier=_ints(profile["tier"] for profile in profiles),
        refuses=np.array([marks.of(refusals(profile, occupations)) for profile in profiles], np.uint64),
        automatic=np.array([profile["accepts_automatically"] for profile in profiles]),
        has=np.array([words.of(codes) for codes in skilled], np.uint64),
        known=_ints(len(codes) for codes in skilled),
    )


def _busy(
    gigs: Sequence[Gig], people: Sequence[dict[str, Any]], known: dict[str, dict[str, Any]], rules: Rules
) -> Busy:
    """What people have promised, and when between the first gig's start and the last one's end they are not there."""
    zone, rest = store.zone(), rules.hours.rest_minutes * 60_000
    first, last = min(gig.terms.period.start for gig in gigs), max(gig.terms.period.end for gig in gigs)
    rows = [
        (place, _ms(period["start"]), _ms(period["end"]), local_day(period["start"], zone), rest)
        for place, row in enumerate(people)
        if row["worker_id"] in known
        for period in known[row["worker_id"]]["periods"]
    ]
    rows += [
        (place, _ms(start), _ms(end), 0, 0)
        for place, row in enumerate(people)
        for start, end in away(row["profile"].get("calendar"), first, last, zone)
    ]
    return Busy(*np.array(rows, np.int64).reshape(-1, 5).T)


def _caps(
    gigs: Sequence[Gig], people: Sequence[dict[str, Any]], known: dict[str, dict[str, Any]], rules: Rules
) -> Caps:
    """The caps that the window's gigs would take of, numbered."""
    number: dict[Cap, int] = {}
    takes = [
        (place, number.setdefault(cap, len(number)), minutes)
        for place, gig in enumerate(gigs)
        for cap, minutes in minutes_by_cap(
            gig.terms.period.start, gig.terms.period.end, gig.terms.employer_id, store.zone()
        )
    ]
    left = [
        (place, number[cap], max(0, most_minutes(cap.kind, rules.hours, minor=row["profile"]["minor"]) - used))
        for place, row in enumerate(people)
        if row["worker_id"] in known
        for cap, used in _used(known[row["worker_id"]]["periods"]).items()
        if cap in number
    ]
    return Caps(*np.array(takes, np.int64).reshape(-1, 3).T, *np.array(left, np.int64).reshape(-1, 3).T)


def _used(periods: Sequence[dict[str, Any]]) -> dict[Cap, int]:
    return minutes_promised((Commitment.model_construct(**period) for period in periods), store.zone())


async def _refused(unit: Unit, gigs: Sequence[Gig], people: Sequence[dict[str, Any]]) -> Ints:
    gig_at = {gig.id: place for place, gig in enumerate(gigs)}
    person_at = {row["worker_id"]: place for place, row in enumerate(people)}
    theirs = defaultdict[str, list[int]](list)
    for place, gig in enumerate(gigs):
        theirs[gig.terms.employer_id].append(place)
    refused, blocked = await at_once(store.refused_pairs(unit, gig_at.keys()), store.blocked_pairs(unit, theirs))
    pairs = [(gig_at[gig_id], person_at[worker_id]) for gig_id, worker_id in refused if worker_id in person_at]
    pairs += [
        (place, person_at[worker_id])
        for employer_id, worker_id in blocked
        if worker_id in person_at
        for place in theirs[employer_id]
    ]
    return np.array(pairs, np.int64).reshape(-1, 2)


@lru_cache(maxsize=100_000)
def _middle(cell: str) -> tuple[float, float]:
    lat, lon = h3.cell_to_latlng(cell)
    return float(lat), float(lon)


def _ints(figures: Iterable[float]) -> Ints:
    return np.array([int(figure) for figure in figures], np.int64)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
