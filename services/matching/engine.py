"""Who is offered which gig: arrays in, arrays out. No clock, no I/O, no chance but the seed's.

Hard rules say which pairs may be; a weighted score says how good each is; an exact assignment takes as many pairs as
can be, and of those the best in sum. All stand in an order drawn by the seed, and every tie is decided by that order,
so the same inputs and seed give the same offers, in whatever order the inputs come. Neither sex nor age is known here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import reduce
from operator import and_
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from services.matching.rules import Rules

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Bits = NDArray[np.uint64]
Names = NDArray[np.str_]
Scores = NDArray[np.int16]

SCALE = 10_000
"""A score is a whole number of ten-thousandths: what differs by less is a tie."""

INELIGIBLE = -1
EARTH_M = 6_371_008.8
BLOCK_PAIRS = 200_000
WEEK_MINUTES = 7 * 24 * 60 + 1
"""More than is left of any cap."""
TIERS = 3
MOST_DOUBLED = 30
WIDER = 4
"""So many times as many candidates, when too few leave seats empty."""


class _Rows:
    """Columns of equal length."""

    def at(self, index: Ints) -> Self:
        """These rows, in this order; an index of shape (n, 1) gives columns that broadcast against other rows."""
        return type(self)(*(getattr(self, field.name)[index] for field in fields(self)))  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Gigs(_Rows):
    """Gigs with open seats, one a row. Degrees, milliseconds since 1970, fen an hour (0: cannot be told)."""

    ids: Names
    seats: Ints
    offers: Ints
    """Open offers."""
    lat: Floats
    lon: Floats
    start: Ints
    end: Ints
    day: Ints
    """The local day it begins on, as a number."""
    lead_s: Ints
    """Seconds from now to the start, or until a substitute should be there."""
    pay: Ints
    tags: Bits
    """What of them some people do not take, as bits: shape (gigs, words)."""
    needs: Bits
    """Skills and certificates asked for, as bits: shape (gigs, words)."""
    asked: Ints
    """How many those are."""


@dataclass(frozen=True, eq=False)
class People(_Rows):
    """People who wait and hold no offer, one a row."""

    ids: Names
    lat: Floats
    lon: Floats
    reach_m: Ints
    floor: Ints
    waited_s: Ints
    """Since the check-in."""
    days: Ints
    """How many days before they waited for nothing, since they last had their turn (domain.days_for_nothing)."""
    tier: Ints
    refuses: Bits
    """Which tags they do not take: shape (people, words)."""
    automatic: Flags
    """Who accepts automatically: they get a seat's first offer or none, since they would take it from the first."""
    has: Bits
    """Which of the window's skills and certificates they have: shape (people, words)."""
    known: Ints
    """How many skills and certificates they have in all."""


class Busy(NamedTuple):
    """Half-open periods [start, end) already promised or not free, one a row, and the local day each begins on.

    `person` is a row of `People`.
    """

    person: Ints
    start: Ints
    end: Ints
    day: Ints
    rest: Ints
    """Milliseconds that must lie between it and what begins on another day."""


class Caps(NamedTuple):
    """Caps on hours, by number: what each gig would take of one, and what a person has left where they used some.

    Both have rows of their own: (`gig`, `cap`, `takes`) and (`person`, `used_cap`, `left`), in whole minutes. Who
    has no row for a cap has used none of it, and no gig takes more than a whole one.
    """

    gig: Ints
    cap: Ints
    takes: Ints
    person: Ints
    used_cap: Ints
    left: Ints


@dataclass(frozen=True, eq=False)
class Offers:
    """Rows of `Gigs` and `People` that belong together, the most urgent first, with the figures behind each."""

    gig: Ints
    person: Ints
    layer: Ints
    """1: the first offer of a seat, 2: the second, …"""
    score: Ints
    distance_m: Ints
    fit: Floats
    hardship: Floats
    full: bool
    """The plan has as many pairs as one window may: there may be more to offer."""


class _Worth(NamedTuple):
    score: Scores
    total: Floats
    """The score, also where a hard rule forbids the pair."""
    distance_m: Floats
    fit: Floats
    hardship: Floats


def match(gigs: Gigs, people: People, busy: Busy, caps: Caps, refused: Ints, rules: Rules, seed: int) -> Offers:
    """The offers of one window. `refused` holds (gig, person) rows that are not offered again, shape (n, 2).

    Each open seat gets its first offer before any gets a second, and none more than `rules.exposure`. At most
    `rules.offers_per_window` pairs are planned in one window, one a person, and those of them are offered that are
    near: whoever is planned for what is far is kept for it, and so is its seat, until the next window plans anew.
    """
    draw = np.random.default_rng(seed)
    gig_order, person_order = _drawn(gigs.ids, draw), _drawn(people.ids, draw)
    gigs, people = gigs.at(gig_order), people.at(person_order)
    gig_place, person_place = np.argsort(gig_order), np.argsort(person_order)

    score = scored(
        gigs,
        people,
        busy._replace(person=person_place[busy.person]),
        caps._replace(gig=gig_place[caps.gig], person=person_place[caps.person]),
        np.stack([gig_place[refused[:, 0]], person_place[refused[:, 1]]], axis=1),
        rules,
    )

    given = np.zeros_like(gigs.seats)
    free = np.ones(len(people.ids), dtype=np.bool_)
    found: list[Ints] = []
    for layer in range(1, rules.exposure + 1):
        if layer == 2:
            free &= ~people.automatic
        want = np.clip(layer * gigs.seats - gigs.offers - given, 0, gigs.seats)
        for gig, person in _assigned(score, want, free, rules, rules.offers_per_window - int(given.sum())):
            np.add.at(given, gig, 1)
            free[person] = False
            found.append(np.stack([np.full_like(gig, layer), -score[gig, person].astype(np.int64), gig, person]))
    rows = np.concatenate([np.empty((4, 0), np.int64), *found], axis=1)
    layer_, minus, gig, person = rows[:, np.lexsort(rows[::-1])]
    the_gigs, the_people = gigs.at(gig), people.at(person)
    worth = _worth(the_gigs, the_people, rules)
    now = _within(the_gigs, circle_m(gigs, people, rules)[person], worth.distance_m, rules)
    return Offers(
        gig_order[gig[now]],
        person_order[person[now]],
        layer_[now],
        -minus[now],
        worth.distance_m[now].astype(np.int64),
        worth.fit[now],
        worth.hardship[now],
        int(given.sum()) >= rules.offers_per_window,
    )


def scored(gigs: Gigs, people: People, busy: Busy, caps: Caps, refused: Ints, rules: Rules) -> Scores:
    """What every pair is worth, shape (gigs, people); `INELIGIBLE` where a hard rule bars it."""
    score = _scores(gigs, people, rules)
    score[refused[:, 0], refused[:, 1]] = INELIGIBLE
    _bar_busy(score, gigs, busy)
    _bar_capped(score, caps)
    return score


# --- what a pair is worth --------------------------------------------------------------------------------------------


def _worth(gigs: Gigs, people: People, rules: Rules) -> _Worth:
    """Scores of pairs, `INELIGIBLE` where a hard rule forbids. The two may be rows of pairs, or broadcast.

    Distances are those of a flat map around the gig, which is off by less than 1 % at 100 km.
    """
    north = np.radians(gigs.lat - people.lat)
    east = np.radians(gigs.lon - people.lon) * np.cos(np.radians(gigs.lat))
    distance = np.rint(EARTH_M * np.sqrt(north * north + east * east))
    eligible = reduce(and_, _hard_rules(gigs, people, distance, rules).values())
    fit = (1 + gigs.asked) / (1 + np.maximum(people.known, gigs.asked))
    hardship = rules.hardship * people.tier / TIERS
    without = rules.days_without * np.minimum(people.days / rules.long_without_days, 1)
    weights = rules.weights
    total = (
        weights.distance * (1 - np.minimum(distance / rules.far_m, 1))
        + weights.pay * np.clip(gigs.pay / np.maximum(people.floor, rules.usual_fen_per_hour) - 1, 0, 1)
        + weights.fit * fit
        + (weights.waiting * np.minimum(people.waited_s / (60 * rules.long_wait_minutes), 1) + without + hardship)
    )
    total = np.rint(SCALE * total)
    score = np.where(eligible, total, INELIGIBLE).astype(np.int16)
    return _Worth(score, total, distance, fit, hardship)


def _hard_rules(gigs: Gigs, people: People, distance: Floats, rules: Rules) -> dict[str, Flags]:
    """Which pairs each hard rule lets be, by the rule's name."""
    return {
        "reach": distance <= people.reach_m,
        "way": distance * 60 <= gigs.lead_s * rules.travel_m_per_minute,
        "pay": gigs.pay >= people.floor,
        "tags": ~(people.refuses & gigs.tags).any(axis=-1),
        "skills": ((people.has & gigs.needs) == gigs.needs).all(axis=-1),
    }


def _within(gigs: Gigs, circle_m: Floats, distance: Floats, rules: Rules) -> Flags:
    """Whether a gig starts soon, or lies in a person's circle."""
    within: Flags = (distance <= circle_m) | (gigs.lead_s <= 60 * rules.soon_minutes)
    return within


def circle_m(gigs: Gigs, people: People, rules: Rules) -> Floats:
    """Within how many metres of each person a gig is offered that does not start soon.

    It doubles as they wait, and is the greater the fewer people and open seats the window has.
    """
    there = len(people.ids) + int(gigs.seats.sum())
    near_m = rules.near_m * max(1.0, rules.crowd / max(1, there))
    circle: Floats = near_m * np.exp2(np.minimum(people.waited_s / (60 * rules.double_minutes), MOST_DOUBLED))
    return circle


def _scores(gigs: Gigs, people: People, rules: Rules) -> Scores:
    """The score of every pair, shape (gigs, people), reckoned in blocks that fit a processor's cache."""
    score = np.empty((len(gigs.ids), len(people.ids)), np.int16)
    step = max(1, BLOCK_PAIRS // max(1, len(people.ids)))
    for first in range(0, len(gigs.ids), step):
        rows = np.arange(first, min(first + step, len(gigs.ids)))
        score[rows] = _worth(gigs.at(rows[:, None]), people, rules).score
    return score


def _bar_busy(score: Scores, gigs: Gigs, busy: Busy) -> None:
    """Bar what overlaps a promise, and what begins on another day without the rest between the two."""
    for row in range(len(gigs.ids)):
        score[row, busy.person[clashing(gigs, busy, row)]] = INELIGIBLE


def clashing(gigs: Gigs, busy: Busy, row: int) -> Flags:
    """Which rows of `busy` keep their people from a gig."""
    margin = np.where(busy.day == gigs.day[row], 0, busy.rest)
    clashing: Flags = (gigs.start[row] < busy.end + margin) & (busy.start - margin < gigs.end[row])
    return clashing


def short_of(caps: Caps, gig: int, person: int) -> Ints:
    """The rows of `caps.person` that say that a person has less left of a cap than a gig takes."""
    takes = dict(zip(caps.cap[caps.gig == gig].tolist(), caps.takes[caps.gig == gig].tolist(), strict=True))
    theirs = np.flatnonzero(caps.person == person)
    return np.array([row for row in theirs if caps.left[row] < takes.get(int(caps.used_cap[row]), 0)], np.int64)


class Judged(NamedTuple):
    """What the engine makes of one pair.

    `barred`: the hard rules against it, or `circle` where it is only too far yet; `score` is what it is worth without.
    """

    barred: tuple[str, ...]
    score: int
    distance_m: int
    fit: float


def judge(
    gigs: Gigs, people: People, busy: Busy, caps: Caps, refused: Ints, gig: int, person: int, rules: Rules
) -> Judged:
    """Why a pair may or may not be, by its rows: for somebody who asks."""
    one, other = gigs.at(np.array([gig])), people.at(np.array([person]))
    worth = _worth(one, other, rules)
    allowed = _hard_rules(one, other, worth.distance_m, rules)
    barred = [name for name, flags in allowed.items() if not flags[0]]
    if clashing(gigs, busy, gig)[busy.person == person].any():
        barred.append("busy")
    if short_of(caps, gig, person).size:
        barred.append("hours")
    if ((refused[:, 0] == gig) & (refused[:, 1] == person)).any():
        barred.append("refused")
    circle = circle_m(gigs, people, rules)[[person]]
    if not barred and not _within(one, circle, worth.distance_m, rules)[0]:
        barred.append("circle")
    return Judged(tuple(barred), int(worth.total[0]), int(worth.distance_m[0]), float(worth.fit[0]))


def tally(gigs: Gigs, people: People, busy: Busy, caps: Caps, refused: Ints, rules: Rules) -> dict[str, int]:
    """How many people each hard rule keeps from the one gig that is given. Several rules may keep the same person."""
    worth = _worth(gigs, people, rules)
    allowed = _hard_rules(gigs, people, worth.distance_m, rules)
    kept = {name: int((~flags).sum()) for name, flags in allowed.items()}
    busy_, capped = np.zeros((2, 1, len(people.ids)), np.int16)
    _bar_busy(busy_, gigs, busy)
    _bar_capped(capped, caps)
    kept |= {name: int((score == INELIGIBLE).sum()) for name, score in (("busy", busy_), ("hours", capped))}
    kept["refused"] = len(refused)
    return kept


def _bar_capped(score: Scores, caps: Caps) -> None:
    """Bar who has less left of a cap than a gig takes. With a cap's rows in ascending order those are one stretch."""
    order = np.lexsort((caps.left, caps.used_cap))
    place, person = caps.used_cap[order] * WEEK_MINUTES + caps.left[order], caps.person[order]
    first = np.searchsorted(place, caps.cap * WEEK_MINUTES)
    end = np.searchsorted(place, caps.cap * WEEK_MINUTES + caps.takes)
    for gig, low, high in zip(caps.gig.tolist(), first.tolist(), end.tolist(), strict=True):
        score[gig, person[low:high]] = INELIGIBLE


# --- who goes where --------------------------------------------------------------------------------------------------


def _assigned(score: Scores, want: Ints, free: Flags, rules: Rules, most: int) -> Iterator[tuple[Ints, Ints]]:
    """At most `most` pairs of gig and person, until nobody who fits is free for a gig that wants somebody."""
    want, free = want.copy(), free.copy()
    while most > 0:
        gigs, people = np.flatnonzero(want), np.flatnonzero(free)
        part = score[np.ix_(gigs, people)]
        fitting = np.count_nonzero(part >= 0, axis=1)
        wanted = _capped(np.minimum(want[gigs], fitting), most)
        some = wanted > 0
        if not some.any():
            return
        gigs = gigs[some]
        rows, columns = _seated(part[some], wanted[some], fitting[some], rules)
        gig, person = gigs[rows], people[columns]
        np.subtract.at(want, gig, 1)
        free[person] = False
        most -= gig.size
        yield gig, person


def _seated(score: Scores, want: Ints, fitting: Ints, rules: Rules) -> tuple[Ints, Ints]:
    """Pairs of row and column, among the best candidates of each row: wider, as long as more seats can be filled so.

    A window whose seats are no more than `rules.candidates` loses nothing by that: of n seats none needs a person below
    its n best. One that is too large for the exact way is filled by the greedy one.
    """
    width = rules.candidates
    while True:
        best = [_best(row, max(width, seats)) for row, seats in zip(score, want.tolist(), strict=True)]
        if sum(len(each) * seats for each, seats in zip(best, want.tolist(), strict=True)) > rules.exact_pairs:
            return _greedy(score, best, want)
        rows, columns = _exact(score, best, want)
        if not _cut_short(score, best, want, fitting, rows, columns):
            return rows, columns
        width *= WIDER


def _best(row: Scores, width: int) -> Ints:
    """The places of a row's best scores, at most `width`; of equal ones those drawn first."""
    fits = np.flatnonzero(row >= 0)
    if fits.size > width:
        rank = row[fits].astype(np.int64) * row.size - fits
        fits = fits[np.argpartition(rank, -width)[-width:]]
    return fits


def _exact(score: Scores, best: list[Ints], want: Ints) -> tuple[Ints, Ints]:
    """As many pairs as can be among these candidates, and of those the greatest sum of scores.

    A line of the matrix for each seat, and for each a column of nobody, which costs more than all others together.
    Whole numbers all the way, far below 2^53, so that no rounding decides.
    """
    people, seats = score.shape[1], np.repeat(np.arange(len(want)), want)
    columns = np.concatenate([np.append(best[row], people + line) for line, row in enumerate(seats.tolist())])
    lines = np.repeat(np.arange(seats.size), [len(best[row]) + 1 for row in seats.tolist()])
    somebody, top = columns < people, int(score.max())
    cost = np.full(columns.size, (seats.size + 1) * np.float64(top + 2))
    cost[somebody] = 1 + top - score[seats[lines[somebody]], columns[somebody]].astype(np.float64)
    line, column = min_weight_full_bipartite_matching(
        csr_matrix((cost, (lines, columns)), shape=(seats.size, people + seats.size))
    )
    real = column < people
    return seats[line[real]], column[real].astype(np.int64)


def _cut_short(score: Scores, best: list[Ints], want: Ints, fitting: Ints, rows: Ints, columns: Ints) -> bool:
    """Whether more seats might be filled if rows had more of those who fit among their candidates.

    From the rows with an empty seat by their candidates to the rows that have those, and so on: if all that are reached
    have everybody who fits among theirs, then these people are too few for them (P. Hall, 1935), whoever else there is.
    """
    reached = np.bincount(rows, minlength=len(want)) < want
    holder = np.full(score.shape[1], -1)
    holder[columns] = rows
    before = 0
    while before < (now := int(np.count_nonzero(reached))):
        before = now
        theirs = holder[np.concatenate([best[row] for row in np.flatnonzero(reached).tolist()])]
        reached[theirs[theirs >= 0]] = True
    return bool((fitting > [len(each) for each in best])[reached].any())


def _greedy(score: Scores, candidates: list[Ints], want: Ints) -> tuple[Ints, Ints]:
    """The best pair of all, then the best of what is left, …: for windows too large for the exact way."""
    rows = np.repeat(np.arange(len(candidates)), [len(found) for found in candidates])
    columns = np.concatenate(candidates)
    order = np.lexsort((columns, rows, -score[rows, columns].astype(np.int64)))
    left, taken = want.tolist(), set[int]()
    pairs: list[tuple[int, int]] = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if left[row] and column not in taken:
            left[row] -= 1
            taken.add(column)
            pairs.append((row, column))
    chosen = np.array(pairs, np.int64).reshape(-1, 2)
    return chosen[:, 0], chosen[:, 1]


def _drawn(ids: Names, draw: np.random.Generator) -> Ints:
    """All rows in an order that depends on the ids and the seed alone."""
    order: Ints = np.argsort(ids, kind="stable")[draw.permutation(len(ids))]
    return order


def _capped(want: Ints, most: int) -> Ints:
    """The same wishes, cut so that they sum to at most `most`: first drawn, first served."""
    left = most - (np.cumsum(want) - want)
    cut: Ints = np.clip(left, 0, want)
    return cut
