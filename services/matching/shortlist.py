"""Both sides look before anything is offered: which gigs would fit a worker, and how many people a gig would fit.

By the engine's own rules and score, so that what is listed is what would be offered.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from services.matching import engine, snapshot, store
from services.matching.rules import Rules
from services.matching.store import Gig, Profile
from shared.contracts.posting import GigTerms
from shared.unit import Unit

EVERYWHERE_M = 10_000_000
"""Farther than anybody goes."""


class Wishes(NamedTuple):
    """What a gig must have to be listed. `start`, `end`: the whole shift lies in this span."""

    within_m: int | None = None
    start: datetime | None = None
    end: datetime | None = None
    meals: bool = False
    lodging: bool = False
    no_night_work: bool = False

    def fits(self, terms: GigTerms) -> bool:
        return (
            (self.start is None or self.start <= terms.period.start)
            and (self.end is None or terms.period.end <= self.end)
            and (terms.meals or not self.meals)
            and (terms.lodging or not self.lodging)
            and not (terms.night_work and self.no_night_work)
        )


class Listed(NamedTuple):
    """A gig that would fit, with the figures that rank it. `score` is of ten thousand, `pay_fen` an hour's."""

    gig: Gig
    seats: int
    score: int
    distance_m: int
    pay_fen: int
    fit: float


async def for_worker(
    unit: Unit, profile: Profile, districts: Iterable[str], cell: str, wishes: Wishes, *, limit: int
) -> list[Listed]:
    """Open gigs of these districts that a worker could be offered at this place now, the best first."""
    known_of = profile.profile.model_dump()
    reach_m = min(known_of["reach_m"], wishes.within_m or EVERYWHERE_M)
    row = {"worker_id": profile.id, "cell": cell, "profile": known_of | {"reach_m": reach_m}, "at": unit.now}
    known = await store.engaged(unit, [profile.id])
    found: list[Listed] = []
    for district in dict.fromkeys(districts):
        seats = await store.seats_open_in(unit, district)
        gigs = (await store.gigs(unit, seats)).values()
        open_ = [gig for gig in gigs if gig.takes(unit.now) and wishes.fits(gig.terms)]
        if open_:
            rules = await store.RULES.of(unit, district)
            seen = await snapshot.of(unit, open_, [row], known, rules, seats=seats, offers={})
            found += _best(seen, rules, seats, limit)
    return sorted(found, key=lambda each: (-each.score, each.gig.id))[:limit]


def _best(seen: snapshot.Snapshot, rules: Rules, seats: dict[str, int], limit: int) -> list[Listed]:
    inputs = (seen.gigs, seen.people, seen.busy, seen.caps, seen.refused)
    score = engine.scored(*inputs, rules)[:, 0].astype(np.int64)
    best = np.lexsort((seen.gigs.ids, -score))[: min(limit, int((score >= 0).sum()))]
    found = []
    for place in best.tolist():
        gig, judged = seen.gig_rows[place], engine.judge(*inputs, place, 0, rules)
        pay_fen = int(seen.gigs.pay[place])
        found.append(Listed(gig, seats[gig.id], int(score[place]), judged.distance_m, pay_fen, judged.fit))
    return found


class Fitting(NamedTuple):
    """How many wait in a district, of those how many could be offered a gig now, and whom each hard rule keeps."""

    waiting: int
    free: int
    fit: int
    kept: dict[str, int]


async def for_employer(unit: Unit, terms: GigTerms, district: str) -> Fitting:
    """How many people who wait in a district would fit a gig of these terms. Nobody is named."""
    rules = await store.RULES.of(unit, district)
    waiting, known = await snapshot.who_waits(unit, district, rules)
    people: list[dict[str, Any]] = [row for row in waiting if snapshot.is_free(row["at"], known.get(row["worker_id"]))]
    if not people:
        return Fitting(len(waiting), 0, 0, {})
    gig = Gig(id="preview", district=district, terms=terms, at=unit.now)
    seen = await snapshot.of(unit, [gig], people, known, rules, seats={gig.id: terms.headcount}, offers={})
    inputs = (seen.gigs, seen.people, seen.busy, seen.caps, seen.refused, rules)
    fit = int((engine.scored(*inputs) >= 0).sum())
    return Fitting(len(waiting), len(people), fit, {name: n for name, n in engine.tally(*inputs).items() if n})
