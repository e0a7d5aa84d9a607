"""A trace played through: by first-come grab, greedy-nearest, our engine in its windows, and knowing all beforehand."""

import heapq
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from bench.matching.fairness import NO_CAPS
from bench.matching.traces import Trace
from services.matching import engine
from services.matching.engine import Flags, Floats, Ints
from services.matching.rules import Rules

LOOK_S = 60

Pairs = list[tuple[int, int]]
"""Who got which: rows of the trace's gigs and people."""


class Worth(NamedTuple):
    """What each pair of a trace is worth, all of shape (gigs, people).

    A pair is looked at the first moment at which both are there: then it can do most, and has waited least. So no
    policy does better by it later, and the assignment over these figures bounds them all.
    """

    possible: Flags
    """Some moment exists at which the hard rules allow the pair."""
    distance_m: Floats
    score: Floats
    """By the rules, from 0 on; without the waiting time, since making people wait is no merit."""


def worth(trace: Trace, rules: Rules) -> Worth:
    first = np.maximum(trace.posted[:, None], trace.arrives)
    gigs, people = trace.at(first)
    found = engine._worth(gigs, replace(people, waited_s=np.zeros_like(first)), rules)
    possible = found.score >= 0
    possible &= first < np.minimum(trace.starts[:, None], trace.leaves)
    person, start, end, *_ = trace.busy
    possible[:, person] &= ~((trace.gigs.start[:, None] < end) & (start < trace.gigs.end[:, None]))
    return Worth(possible, found.distance_m, found.score / engine.SCALE)


# --- knowing all -----------------------------------------------------------------------------------------------------


def clairvoyant(trace: Trace, possible: Flags, gain: Floats) -> Pairs:
    """The pairs of the greatest gain in sum, in one assignment that knows the whole trace. Gains are positive."""
    seats = np.repeat(np.arange(len(trace.posted)), trace.gigs.seats)
    gains = np.where(possible, gain, 0)[seats]
    rows, columns = linear_sum_assignment(gains, maximize=True)
    real = gains[rows, columns] > 0
    return list(zip(seats[rows[real]].tolist(), columns[real].tolist(), strict=True))


# --- one at a time ---------------------------------------------------------------------------------------------------


def grab(trace: Trace, pairs: Worth, rules: Rules) -> Pairs:
    """Whoever comes takes the gig that was posted first; a new gig goes to the quickest of those who wait."""
    quickness = np.random.default_rng(trace.seed).random(len(trace.arrives))
    return _one_at_a_time(trace, pairs, rules, lambda _, gigs: trace.posted[gigs], lambda _, people: quickness[people])


def nearest(trace: Trace, pairs: Worth, rules: Rules) -> Pairs:
    """Whoever comes gets the nearest gig; a new gig gets the nearest of those who wait."""
    away = pairs.distance_m
    return _one_at_a_time(
        trace, pairs, rules, lambda person, gigs: away[gigs, person], lambda gig, people: away[gig, people]
    )


Order = Callable[[int, Ints], Ints | Floats]


def _one_at_a_time(trace: Trace, pairs: Worth, rules: Rules, of_gigs: Order, of_people: Order) -> Pairs:
    left, placed = trace.gigs.seats.copy(), np.zeros(len(trace.arrives), np.bool_)
    found: Pairs = []

    def take(gig: int, person: int) -> None:
        left[gig] -= 1
        placed[person] = True
        found.append((gig, person))

    in_time = pairs.distance_m * 60 / rules.travel_m_per_minute
    events = [(int(at), 0, row) for row, at in enumerate(trace.posted)]
    events += [(int(at), 1, row) for row, at in enumerate(trace.arrives)]
    for now, what, row in sorted(events):
        if what == 0:
            there = (trace.arrives <= now) & (trace.leaves > now) & ~placed
            people = np.flatnonzero(there & pairs.possible[row] & (in_time[row] <= trace.starts[row] - now))
            for person in people[np.argsort(of_people(row, people), kind="stable")][: left[row]].tolist():
                take(row, person)
        elif not placed[row]:
            open_ = (trace.posted <= now) & (trace.starts > now) & (left > 0)
            gigs = np.flatnonzero(open_ & pairs.possible[:, row] & (in_time[:, row] <= trace.starts - now))
            if gigs.size:
                take(int(gigs[np.argmin(of_gigs(row, gigs))]), row)
    return found


# --- in windows ------------------------------------------------------------------------------------------------------


class _Market:
    """What the live market (services/matching/market.py) knows and does, without its database."""

    def __init__(self, trace: Trace, rules: Rules) -> None:
        self.trace, self.rules = trace, rules
        self.left, self.open = trace.gigs.seats.copy(), np.zeros_like(trace.gigs.seats)
        self.offered: dict[int, tuple[int, float]] = {}
        """The gig that a person is offered, and when they answer."""
        self.free = np.ones(len(trace.arrives), np.bool_)
        """Neither placed nor holding an offer."""
        self.refused: set[tuple[int, int]] = set()
        self.placed: Pairs = []

    def answer(self, person: int, now: float) -> None:
        """An offer is answered. It may have ended before, or another may have had the last seat."""
        gig, due = self.offered.get(person, (0, -1.0))
        if due != now:
            return
        self._end(person)
        if self.trace.unwilling[gig, person]:
            self.refused.add((gig, person))
        elif self.left[gig] and now < min(self.trace.starts[gig], self.trace.leaves[person]):
            self._place(gig, person)

    def window(self, now: float) -> list[tuple[float, int]]:
        """One window; returns when whom it made an offer will answer."""
        trace = self.trace
        for person in [person for person, (gig, _) in self.offered.items() if not self.left[gig]]:
            self._end(person)
        gig_rows = np.flatnonzero(
            (trace.posted <= now) & (trace.starts > now) & (self.open < self.left * self.rules.exposure)
        )
        person_rows = np.flatnonzero((trace.arrives <= now) & (trace.leaves > now) & self.free)
        if not gig_rows.size or not person_rows.size:
            return []
        all_gigs, all_people = trace.at(int(now))
        gigs = replace(all_gigs, seats=self.left, offers=self.open).at(gig_rows)
        people = all_people.at(person_rows)
        place = np.full(len(self.free), -1)
        place[person_rows] = np.arange(len(person_rows))
        kept = place[trace.busy.person] >= 0
        busy = engine.Busy(*(column[kept] for column in trace.busy))._replace(person=place[trace.busy.person[kept]])
        gig_place = {gig: at for at, gig in enumerate(gig_rows.tolist())}
        said_no = [
            (gig_place[gig], place[person]) for gig, person in self.refused if gig in gig_place and place[person] >= 0
        ]
        barred = np.array(said_no, np.int64).reshape(-1, 2)
        found = engine.match(gigs, people, busy, NO_CAPS, barred, self.rules, int(now * 1000) + trace.seed)
        answers = []
        for gig, person in zip(gig_rows[found.gig].tolist(), person_rows[found.person].tolist(), strict=True):
            if trace.people.automatic[person]:
                self._place(gig, person)
                continue
            due = now + float(trace.answers_s[person])
            self.offered[person], self.free[person] = (gig, due), False
            self.open[gig] += 1
            answers.append((due, person))
        return answers

    def _end(self, person: int) -> None:
        gig, _ = self.offered.pop(person)
        self.open[gig] -= 1
        self.free[person] = True

    def _place(self, gig: int, person: int) -> None:
        self.left[gig] -= 1
        self.free[person] = False
        self.placed.append((gig, person))


def windows(trace: Trace, rules: Rules) -> Pairs:
    """Our engine as the market paces it: a window as soon as something happened, at least `window_ms` after the last.

    Windows take no time here, and the market's look at all its districts comes every `LOOK_S`, not every second.
    """
    market = _Market(trace, rules)
    looks = range(0, int(trace.starts.max()), LOOK_S)
    events = [(float(at), -1) for at in (*trace.posted, *trace.arrives, *looks)]
    heapq.heapify(events)
    last = -rules.window_ms / 1000
    while events:
        now = max(events[0][0], last + rules.window_ms / 1000)
        while events and events[0][0] <= now:
            at, person = heapq.heappop(events)
            if person >= 0:
                market.answer(person, at)
        for answer in market.window(now):
            heapq.heappush(events, answer)
        last = now
    return market.placed
