"""What a window sees of its district: rows of the database as the engine's arrays.

Read afresh for each window and never trusted: what a window writes, it checks again in the unit that writes it.
"""

import random
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import h3
import numpy as np

from services.matching import store
from services.matching.domain import arrival, fen_per_hour
from services.matching.engine import Busy, Gigs, Ints, People
from services.matching.rules import Rules
from services.matching.store import Gig
from shared.unit import Unit

WORD = 64


class Snapshot(NamedTuple):
    """The engine's inputs, and the documents behind the rows of its first two."""

    gigs: Gigs
    people: People
    busy: Busy
    refused: Ints
    codes: list[str]
    """What the bits of gigs and people stand for."""
    gig_rows: list[Gig]
    person_rows: list[dict[str, Any]]
    exposure: int
    """That of the rules; 1 when a window cannot look at all the gigs that lack a first offer."""
    cut: bool
    """True when there were more gigs with room than a window looks at."""


async def read(unit: Unit, district: str, rules: Rules, seed: int) -> Snapshot | None:
    """The gigs of a district that have room for offers and the people who are free for one; None when either lacks."""
    seats = await store.seats_open_in(unit, district)
    offers = await store.offers_open(unit, district, seats)
    bare = sorted(id for id, count in seats.items() if offers.get(id, 0) < count)
    room = sorted(id for id, count in seats.items() if count <= offers.get(id, 0) < count * rules.exposure)
    most, draw = rules.gigs_per_window, random.Random(seed)
    looked_at = draw.sample(bare, min(most, len(bare)))
    looked_at += draw.sample(room, min(most - len(looked_at), len(room)))
    gigs = [gig for gig in (await store.gigs(unit, looked_at)).values() if gig.takes(unit.now)]
    if not gigs:
        return None
    # Of two check-ins of one worker the later counts.
    waiting = {row["worker_id"]: row for row in await store.waiting_in(unit, district, limit=rules.people_per_window)}
    known = await store.engaged(unit, waiting.keys())
    people = [row for row in waiting.values() if is_free(row["at"], known.get(row["worker_id"]))]
    if not people:
        return None
    words = _Words(gigs)
    return Snapshot(
        _gig_arrays(gigs, seats, offers, words, rules, unit.now),
        _people_arrays(people, words, unit.now),
        _busy(people, known),
        await _refused(unit, gigs, people),
        words.codes,
        gigs,
        people,
        1 if len(bare) > most else rules.exposure,
        len(bare) + len(room) > most,
    )


def is_free(checked_in_at: datetime, commitments: dict[str, Any] | None) -> bool:
    """True when a worker holds no offer and has not been placed since the check-in."""
    if commitments is None:
        return True
    placed_at = commitments["placed_at"]
    return commitments["offer_id"] is None and (placed_at is None or placed_at < checked_in_at)


class _Words:
    """The skills and certificates that the window's gigs ask for, each as a bit."""

    def __init__(self, gigs: Iterable[Gig]) -> None:
        codes = {code for gig in gigs for code in codes_of(gig.terms.skills, gig.terms.certificates)}
        self.codes = sorted(codes)
        self._bit = {code: number for number, code in enumerate(self.codes)}
        self.words = max(1, -(-len(self._bit) // WORD))

    def of(self, codes: Iterable[str]) -> list[int]:
        found = [0] * self.words
        for code in codes:
            bit = self._bit.get(code)
            if bit is not None:
                found[bit // WORD] |= 1 << bit % WORD
        return found


def codes_of(skills: Sequence[str], certificates: Sequence[str]) -> set[str]:
    """Both kinds in one set: a skill may have the name of a certificate."""
    return {*(f"skill {code}" for code in skills), *(f"certificate {code}" for code in certificates)}


def _gig_arrays(
    gigs: Sequence[Gig], seats: dict[str, int], offers: dict[str, int], words: _Words, rules: Rules, now: datetime
) -> Gigs:
    terms = [gig.terms for gig in gigs]
    asked = [codes_of(term.skills, term.certificates) for term in terms]
    return Gigs(
        ids=np.array([gig.id for gig in gigs]),
        seats=_ints(seats[gig.id] for gig in gigs),
        offers=_ints(offers.get(gig.id, 0) for gig in gigs),
        lat=np.array([term.place.lat for term in terms]),
        lon=np.array([term.place.lon for term in terms]),
        start=_ints(_ms(term.period.start) for term in terms),
        end=_ints(_ms(term.period.end) for term in terms),
        lead_s=_ints((arrival(term.period, now, rules.backfill.arrive) - now).total_seconds() for term in terms),
        pay=_ints(fen_per_hour(term.pay, term.period) for term in terms),
        night=np.array([term.night_work for term in terms]),
        needs=np.array([words.of(codes) for codes in asked], np.uint64),
        asked=_ints(len(codes) for codes in asked),
    )


def _people_arrays(rows: Sequence[dict[str, Any]], words: _Words, now: datetime) -> People:
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
        tier=_ints(profile["tier"] for profile in profiles),
        minor=np.array([profile["minor"] for profile in profiles]),
        automatic=np.array([profile["accepts_automatically"] for profile in profiles]),
        has=np.array([words.of(codes) for codes in skilled], np.uint64),
        known=_ints(len(codes) for codes in skilled),
    )


def _busy(people: Sequence[dict[str, Any]], known: dict[str, dict[str, Any]]) -> Busy:
    promised = [
        (place, _ms(period["start"]), _ms(period["end"]))
        for place, row in enumerate(people)
        if row["worker_id"] in known
        for period in known[row["worker_id"]]["periods"]
    ]
    return Busy(*np.array(promised, np.int64).reshape(-1, 3).T)


async def _refused(unit: Unit, gigs: Sequence[Gig], people: Sequence[dict[str, Any]]) -> Ints:
    gig_at = {gig.id: place for place, gig in enumerate(gigs)}
    person_at = {row["worker_id"]: place for place, row in enumerate(people)}
    pairs = [
        (gig_at[gig_id], person_at[worker_id])
        for gig_id, worker_id in await store.refused_pairs(unit, gig_at.keys())
        if worker_id in person_at
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
