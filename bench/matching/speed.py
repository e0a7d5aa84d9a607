"""How long one window of 1,000 seats and 10,000 people takes, against an assignment over all pairs at once."""

import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from bench.matching.fairness import NO_CAPS, NO_PAIRS, NOTHING
from bench.matching.traces import HOUR, trace
from services.matching import engine
from services.matching.engine import Gigs, People
from services.matching.rules import Rules

ROUNDS = 5
PEOPLE = 10_000


class Speed(NamedTuple):
    """Medians in seconds of processor time, and the scores that each way adds up to."""

    engine_s: float
    whole_s: float
    engine_score: int
    whole_score: int
    engine_seats: int
    whole_seats: int


def window() -> tuple[Gigs, People]:
    """Everybody is there at once: seats and people of one trace, of the first 1,000 seats exactly."""
    market = trace("plentiful", 1, PEOPLE)
    last = int(np.searchsorted(np.cumsum(market.gigs.seats), 1000, side="right"))
    gigs = market.gigs.at(np.arange(last))
    everybody = market.people.at(np.arange(PEOPLE))
    waited = np.random.default_rng(1).integers(0, 2 * HOUR, PEOPLE)
    return replace(gigs, lead_s=np.full(last, 2 * HOUR)), replace(everybody, waited_s=waited)


def measured(rules: Rules) -> Speed:
    rules = rules.model_copy(update={"exposure": 1})
    gigs, people = window()
    seats = np.repeat(np.arange(len(gigs.ids)), gigs.seats)
    more_than_any_sum = 4.0 * engine.SCALE * len(seats)

    def whole() -> tuple[int, int]:
        score = engine._scores(gigs, people, rules)[seats]
        fits = score >= 0
        rows, columns = linear_sum_assignment(np.where(fits, score + more_than_any_sum, 0), maximize=True)
        real = fits[rows, columns]
        return int(real.sum()), int(score[rows, columns][real].sum(dtype=np.int64))

    def ours() -> tuple[int, int]:
        found = engine.match(gigs, people, NOTHING, NO_CAPS, NO_PAIRS, rules, 1)
        return len(found.gig), int(found.score.sum())

    engine_s, (engine_seats, engine_score) = _timed(ours)
    whole_s, (whole_seats, whole_score) = _timed(whole)
    return Speed(engine_s, whole_s, engine_score, whole_score, engine_seats, whole_seats)


def _timed(work: Callable[[], tuple[int, int]]) -> tuple[float, tuple[int, int]]:
    spent = []
    for _ in range(ROUNDS):
        began = time.process_time()
        result = work()
        spent.append(time.process_time() - began)
    return median(spent), result
